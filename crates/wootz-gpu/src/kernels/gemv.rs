//! Matrix times few rows.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The gemv kernels.
pub const CONCEPT: Concept = Concept { name: "gemv", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
