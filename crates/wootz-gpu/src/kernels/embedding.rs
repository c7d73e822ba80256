//! Embedding and gathering of rows.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The embedding kernels.
pub const CONCEPT: Concept = Concept { name: "embedding", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
