//! Runs kernels on the processor as a GPU would.

mod abi;
mod atomics;
mod checks;
mod counts;
mod dispatch;
mod fault;
mod fences;
mod fiber;
mod hooks;
mod library;
mod limits;
mod locate;
mod memory;
mod mistake;
mod order;
mod pool;
mod schedule;
mod shadow;
mod simdgroup;
mod staging;
mod threadgroup;
mod worker;

pub use counts::Counts;
pub use dispatch::{Binding, Buffer, BufferAccess, ConstantValue, Dispatch};
pub use fault::{Fault, FaultKind};
pub use library::{Library, Mode, OpenError};
pub use schedule::Schedule;

/// The C side of the emulator, to be compiled into every kernel library.
pub const GLUE: &str = include_str!("glue.cpp");
