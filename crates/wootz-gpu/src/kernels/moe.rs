//! Mixture of experts.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The moe kernels.
pub const CONCEPT: Concept = Concept { name: "moe", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
