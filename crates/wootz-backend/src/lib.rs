//! Backends: what a model computes (`ops`), and the devices that compute it.
#![deny(unsafe_code)]

pub mod cache;
pub mod ops;
pub mod program;
pub mod step;
