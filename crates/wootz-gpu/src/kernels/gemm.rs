//! Matrix times many rows.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The gemm kernels.
pub const CONCEPT: Concept = Concept { name: "gemm", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
