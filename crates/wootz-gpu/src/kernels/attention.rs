//! Paged attention.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The attention kernels.
pub const CONCEPT: Concept = Concept { name: "attention", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
