//! Rotary position embedding.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The rope kernels.
pub const CONCEPT: Concept = Concept { name: "rope", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
