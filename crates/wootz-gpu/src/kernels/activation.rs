//! Activations and gated activations.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The activation kernels.
pub const CONCEPT: Concept = Concept { name: "activation", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
