//! Runs kernels on the processor as a GPU would.

mod abi;
mod atomics;
mod checks;
mod counts;
mod dispatch;
mod fault;
mod fiber;
mod hooks;
mod library;
mod limits;
mod memory;
mod mistake;
mod pool;
mod schedule;
mod simdgroup;
mod threadgroup;
mod worker;

pub use counts::Counts;
pub use dispatch::{Binding, Buffer, BufferAccess, ConstantValue, Dispatch};
pub use fault::{Fault, FaultKind};
pub use library::{Library, Mode, OpenError};
pub use schedule::Schedule;

/// The C side of the emulator, to be compiled into every kernel library.
pub const GLUE: &str = include_str!("glue.cpp");
