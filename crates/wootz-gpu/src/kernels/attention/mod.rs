//! Paged attention: `kernels/attention_*.metal`.

mod tables;

use wootz_backend::cache::CacheShape;
use wootz_backend::step::PAGE_TOKENS;

pub use tables::{Route, StepSlices, StepTables, TILE_ROWS};

use super::Concept;
use crate::case::Case;
use crate::device::Slice;
use crate::source::KernelSource;

/// The attention kernels.
pub const CONCEPT: Concept = Concept { name: "attention", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[];

/// A pool of pages on the device.
#[derive(Debug, Clone, Copy)]
pub struct PagedCache {
    /// Its memory: f16 `[page][layer][kv_head]` of cells, 16-byte aligned.
    pub pool: Slice,
    /// Its shape.
    pub shape: CacheShape,
}

impl PagedCache {
    /// Elements from one page to the next.
    pub(crate) fn page_stride(&self) -> u32 {
        self.shape.page_elements() as u32
    }

    /// Elements from the beginning of a page to the first cell of `layer`.
    pub(crate) fn layer_offset(&self, layer: usize) -> u32 {
        self.shape.cell_offset(0, layer, 0) as u32
    }
}

/// A pool of pages of a latent cache (multi-head latent attention) on the device.
///
/// A cell is one transposed matrix `[latent + rope][16 tokens]` f16, and there is one a layer: the key of a token is its
/// whole column, the value the first `latent` elements of the same column. Pages are `[page][layer]`.
#[derive(Debug, Clone, Copy)]
pub struct LatentCache {
    /// Its memory, 16-byte aligned.
    pub pool: Slice,
    /// Layers with a cache.
    pub layers: usize,
    /// Elements that are key and value (512).
    pub latent: usize,
    /// Elements that are key only: the rotated ones (64).
    pub rope: usize,
}

impl LatentCache {
    /// Elements (f16) of one page.
    pub fn page_elements(&self) -> usize {
        self.layers * (self.latent + self.rope) * PAGE_TOKENS
    }

    pub(crate) fn page_stride(&self) -> u32 {
        self.page_elements() as u32
    }

    pub(crate) fn layer_offset(&self, layer: usize) -> u32 {
        (layer * (self.latent + self.rope) * PAGE_TOKENS) as u32
    }
}

fn cases() -> Vec<Case> {
    Vec::new()
}
