//! Scalar twins of what the CPU backend has no op for: written to be read, not to be fast.

pub mod activation;
pub mod attention;
pub mod half_rows;
pub mod moe;
pub mod norm;
pub mod sample;
