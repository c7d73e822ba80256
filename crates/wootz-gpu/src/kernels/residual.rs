//! Residual additions.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The residual kernels.
pub const CONCEPT: Concept = Concept { name: "residual", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
