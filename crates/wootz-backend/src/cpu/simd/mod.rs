//! Everything of the CPU backend that needs `unsafe`: vector kernels, one file an instruction set and a subject, and
//! the buffers that threads share.
//!
//! A kernel file is entered through methods of a token ([`Isa`]) whose existence proves that the processor has the
//! instructions.

pub mod arena;
pub mod isa;
pub mod shared;

pub use arena::Shared;
pub use isa::Isa;
pub use shared::SharedOut;
