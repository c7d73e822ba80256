//! Writing keys and values to pages.

use super::Concept;
use crate::case::Case;
use crate::source::KernelSource;

/// The kv_write kernels.
pub const CONCEPT: Concept = Concept { name: "kv_write", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

fn cases() -> Vec<Case> {
    Vec::new()
}
