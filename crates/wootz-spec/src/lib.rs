//! What a model is: its shape as sum types, read from a configuration, with no files and no tensors.
#![forbid(unsafe_code)]

mod arch;
mod error;
mod fields;
mod rope;
mod spec;
mod tensors;

pub use arch::supported_architectures;
pub use error::SpecError;
pub use rope::Rotation;
pub use spec::*;
pub use tensors::*;
