//! Metal source on any machine.
//!
//! Metal's compiler exists only on a Mac. This crate lowers a `.metal` text to C++ for OpenCL, which clang compiles
//! for the processor at hand, so that every kernel can be run and checked anywhere.

pub mod clang;
mod diagnostics;
pub mod emulator;
mod error;
pub mod library;
pub mod lint;
pub mod lower;
mod prelude;
mod source;

pub use error::{Location, MslError};
pub use library::{CompiledLibrary, Mode, Options, compile};
pub use lint::{Finding, Rule, lint};
pub use lower::{EntryPoint, Interface, Lowered, lower};
pub use source::{Header, Source};
