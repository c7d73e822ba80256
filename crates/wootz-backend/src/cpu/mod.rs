//! The CPU backend.

pub mod matmul;
pub mod reference;
#[allow(unsafe_code)]
pub mod simd;
