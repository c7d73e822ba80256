//! Backends: what a model computes (`ops`), and the devices that compute it.
#![deny(unsafe_code)]

pub mod binding;
pub mod cache;
pub mod cpu;
pub mod error;
pub mod model;
pub mod ops;
pub mod program;
pub mod sampling;
pub mod shard;
pub mod step;

pub use binding::Binding;
pub use error::BackendError;
pub use model::Model;
