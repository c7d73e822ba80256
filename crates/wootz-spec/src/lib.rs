//! What a model is: its shape as sum types, read from a configuration, with no files and no tensors.
#![forbid(unsafe_code)]

mod spec;
mod tensors;

pub use spec::*;
pub use tensors::*;
