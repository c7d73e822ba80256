//! Writing keys of a latent cache to pages: `kernels/kv_write.metal`. (Those of other caches: [`super::rope`].)

pub(super) mod cases;

use arrayvec::ArrayVec;

use super::Concept;
use super::attention::LatentCache;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The kv_write kernels.
pub const CONCEPT: Concept = Concept { name: "kv_write", sources: SOURCES, cases: cases::cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "kv_write.metal",
    text: include_str!("../../../../kernels/kv_write.metal"),
    arguments: &[LatentWriteArguments::MSL],
}];

kernel_args! {
    /// Arguments of `kv_write_latent`.
    pub struct LatentWriteArguments {
        /// Rows to write.
        rows: u32,
        /// Elements that are key and value: a multiple of 8.
        latent_dim: u32,
        /// Elements from one row of them to the next.
        latent_stride: u32,
        /// Elements that are key only: a multiple of 8.
        rope_dim: u32,
        /// Elements from one row of them to the next.
        rope_stride: u32,
        /// Elements from one page to the next.
        page_stride: u32,
        /// Elements from the beginning of a page to the layer's cell.
        layer_offset: u32,
    }
}

/// Rows and dims of a threadgroup, and its threads.
const ROWS: usize = 16;
const DIMS: usize = 64;
const THREADS: u32 = 128;

/// Writes each row's latent and rotated key where `slots` says.
#[derive(Debug, Clone, Copy)]
pub struct LatentWrite {
    /// How many rows: at least 1.
    pub rows: usize,
    /// Where to.
    pub cache: LatentCache,
    /// The cache layer.
    pub layer: usize,
    /// `[rows]` of the cache's `latent` elements, 16-byte aligned.
    pub latent: Slice,
    /// Elements from one row of `latent` to the next: a multiple of 4.
    pub latent_stride: usize,
    /// `[rows]` of the cache's `rope` elements, 16-byte aligned.
    pub rope: Slice,
    /// Elements from one row of `rope` to the next: a multiple of 4.
    pub rope_stride: usize,
    /// `[rows]` u32: [`super::attention::StepTables::slots`].
    pub slots: Slice,
}

impl LatentWrite {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let LatentCache { latent, rope, .. } = self.cache;
        let arguments = LatentWriteArguments {
            rows: self.rows as u32,
            latent_dim: latent as u32,
            latent_stride: self.latent_stride as u32,
            rope_dim: rope as u32,
            rope_stride: self.rope_stride as u32,
            page_stride: self.cache.page_stride(),
            layer_offset: self.cache.layer_offset(self.layer),
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "kv_write_latent" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.latent),
                Argument::read(self.rope),
                Argument::read(self.slots),
                Argument::update(self.cache.pool),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [self.rows.div_ceil(ROWS) as u32, (latent + rope).div_ceil(DIMS) as u32, 1],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: (4 * self.rows * (latent + rope + 1)) as u64,
                bytes_written: (2 * self.rows * (latent + rope)) as u64,
                operations: 0,
            },
        }
    }
}
