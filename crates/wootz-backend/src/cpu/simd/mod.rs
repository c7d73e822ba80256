//! Everything of the CPU backend that needs `unsafe`: vector kernels, one file an instruction set and a subject, and
//! the buffers that threads share.
//!
//! A kernel file is entered through methods of a token ([`Isa`]) whose existence proves that the processor has the
//! instructions.

pub mod arena;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod isa;
pub mod lanes;
#[cfg(target_arch = "x86_64")]
mod lanes_avx2;
#[cfg(target_arch = "x86_64")]
mod lanes_avx512;
#[cfg(target_arch = "aarch64")]
mod lanes_neon;
#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod peak;
pub mod shared;
mod vector;

pub use arena::Shared;
pub use isa::Isa;
pub use shared::SharedOut;
