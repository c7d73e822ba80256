//! Sampling.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The sample kernels.
pub const CONCEPT: Concept = Concept { name: "sample", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
