//! Copies and conversions.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The copy kernels.
pub const CONCEPT: Concept = Concept { name: "copy", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
