//! The kernels, one module a concept: argument structs, launches, and the cases that compare them with their twins.
//!
//! A launch is a struct that names everything that the kernel needs and makes a [`Dispatch`](crate::device::Dispatch).

pub mod activation;
pub mod attention;
pub mod copy;
pub mod embedding;
pub mod gemm;
pub mod gemm_packed;
pub mod gemv;
pub mod joint;
pub mod kv_write;
pub mod matrix;
pub mod moe;
pub mod norm;
pub mod probe;
pub mod residual;
pub mod rope;
pub mod sample;

use crate::case::Case;
use crate::source::KernelSource;

/// What a concept consists of.
#[derive(Debug, Clone, Copy)]
pub struct Concept {
    /// Its name, as in `docs/kernels/`.
    pub name: &'static str,
    /// Its files.
    pub sources: &'static [KernelSource],
    /// Comparisons that cover every entry point of the files.
    pub cases: fn() -> Vec<Case>,
}

/// All concepts.
pub const CONCEPTS: &[Concept] = &[
    activation::CONCEPT,
    attention::CONCEPT,
    copy::CONCEPT,
    embedding::CONCEPT,
    gemm::CONCEPT,
    gemm_packed::CONCEPT,
    gemv::CONCEPT,
    kv_write::CONCEPT,
    moe::CONCEPT,
    norm::CONCEPT,
    probe::CONCEPT,
    residual::CONCEPT,
    rope::CONCEPT,
    sample::CONCEPT,
];
