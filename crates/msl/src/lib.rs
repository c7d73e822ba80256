//! Metal source on any machine.
//!
//! Metal's compiler exists only on a Mac. This crate lowers a `.metal` text to C++ for OpenCL, which clang compiles
//! for the processor at hand, so that every kernel can be run and checked anywhere.

mod error;

pub use error::{Location, MslError};
