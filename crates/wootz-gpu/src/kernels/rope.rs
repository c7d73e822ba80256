//! Rotary position embedding, and what it makes of keys written to pages: `kernels/rope.metal`.

mod cases;

use arrayvec::ArrayVec;
use wootz_backend::cache::CacheShape;
use wootz_backend::ops::Heads;
use wootz_spec::{Norm, RopePairing};

use super::Concept;
use super::attention::PagedCache;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The rope kernels.
pub const CONCEPT: Concept = Concept { name: "rope", sources: SOURCES, cases: cases::cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "rope.metal",
    text: include_str!("../../../../kernels/rope.metal"),
    arguments: &[RopeArguments::MSL],
}];

kernel_args! {
    /// Arguments of the rope kernels.
    pub struct RopeArguments {
        /// How many rows.
        rows: u32,
        /// Query heads of a row.
        query_heads: u32,
        /// Key heads of a row, and as many value heads.
        key_heads: u32,
        /// Elements in a head: a multiple of 8, at most 256.
        head_dim: u32,
        /// Pairs of a head that are turned: at least 1.
        pairs: u32,
        /// Elements from one page to the next.
        page_stride: u32,
        /// Elements from the beginning of a page to the layer's first cell.
        layer_offset: u32,
        /// Factor on cos and sin.
        magnitude: f32,
        /// Added to the mean square of a head that is normed.
        epsilon: f32,
        /// Added to the weight of a norm.
        offset: f32,
    }
}

/// Rows of a threadgroup at most, one a simdgroup: `WRITTEN_ROWS` of the kernel.
const ROWS: usize = 16;
/// Query heads that a simdgroup turns: `HEADS` of the kernel.
const HEADS_PER_SIMDGROUP: usize = 4;
/// Threadgroups that few rows are spread over: about as many as large GPUs have cores.
const THREADGROUPS: usize = 128;

/// Rotates the heads of q in place by each row's position, and writes those of k, rotated, and of v where `slots` says.
#[derive(Debug, Clone, Copy)]
pub struct RopeWrite {
    /// How many rows: at least 1.
    pub rows: usize,
    /// `[rows, query_heads]`, updated, 8-byte aligned.
    pub query: Slice,
    /// The query heads of a row, as wide as the cache's.
    pub query_heads: Heads,
    /// `[rows, kv_heads · head_dim]`, 8-byte aligned.
    pub key: Slice,
    /// `[rows, kv_heads · head_dim]`, 16-byte aligned.
    pub value: Slice,
    /// What is done to the heads of q and k first.
    pub norms: Option<HeadNorms>,
    /// How they are turned.
    pub turn: Turn,
    /// `[rows]` u32.
    pub positions: Slice,
    /// `[rows]` u32: [`super::attention::StepTables::slots`].
    pub slots: Slice,
    /// Where to; its head size is a multiple of 8, at most 256.
    pub cache: PagedCache,
    /// The cache layer.
    pub layer: usize,
}

/// The root-mean-square norms of each head of q and of k.
#[derive(Debug, Clone, Copy)]
pub struct HeadNorms {
    /// Epsilon and offset.
    pub norm: Norm,
    /// `[head_dim]`.
    pub query_weight: Slice,
    /// `[head_dim]`.
    pub key_weight: Slice,
}

/// A rotation.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Which elements form a pair.
    pub pairing: RopePairing,
    /// How many pairs of a head are turned, at least 1: half of [`wootz_spec::Rope::dims`].
    pub pairs: usize,
    /// `[pairs]` f32: `frequencies` of [`wootz_spec::Rope::rotation`].
    pub frequencies: Slice,
    /// `magnitude` of [`wootz_spec::Rope::rotation`].
    pub magnitude: f32,
}

impl RopeWrite {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let CacheShape { kv_heads, head_dim, .. } = self.cache.shape;
        let (query_heads, turn, norms) = (self.query_heads.count, self.turn, self.norms);
        let arguments = RopeArguments {
            rows: self.rows as u32,
            query_heads: query_heads as u32,
            key_heads: kv_heads as u32,
            head_dim: head_dim as u32,
            pairs: turn.pairs as u32,
            page_stride: self.cache.page_stride(),
            layer_offset: self.cache.layer_offset(self.layer),
            magnitude: turn.magnitude,
            epsilon: norms.map_or(0.0, |norms| norms.norm.eps),
            offset: norms.map_or(0.0, |norms| norms.norm.weight_offset),
        };
        // Without norms nothing is read in the place of their weights.
        let weights = norms.map_or([turn.frequencies; 2], |norms| [norms.query_weight, norms.key_weight]);
        let units = query_heads.div_ceil(HEADS_PER_SIMDGROUP) + kv_heads;
        let simdgroups = (self.rows * units).div_ceil(THREADGROUPS).min(self.rows.min(ROWS));
        let [queries, keys] = [query_heads, kv_heads].map(|heads| (self.rows * heads * head_dim) as u64);
        let turned = (self.rows * (query_heads + kv_heads) * turn.pairs) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: entry(turn.pairing, norms.is_some()) },
            arguments: ArrayVec::from_iter([
                Argument::update(self.query),
                Argument::read(self.key),
                Argument::read(self.value),
                Argument::read(turn.frequencies),
                Argument::read(self.positions),
                Argument::read(self.slots),
                Argument::read(weights[0]),
                Argument::read(weights[1]),
                // Most of the pool stays as it is: what other layers and earlier steps wrote.
                Argument::update(self.cache.pool),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [self.rows.div_ceil(simdgroups) as u32, units as u32, 1],
                threads: [32 * simdgroups as u32, 1, 1],
            },
            work: Work {
                bytes_read: 4 * (queries + 2 * keys + (turn.pairs + 2 * self.rows) as u64),
                bytes_written: 4 * queries + 4 * keys,
                operations: 6 * turned + if norms.is_some() { 4 * (queries + keys) } else { 0 },
            },
        }
    }
}

fn entry(pairing: RopePairing, normed: bool) -> &'static str {
    match (pairing, normed) {
        (RopePairing::Halves, false) => "rope_halves",
        (RopePairing::Interleaved, false) => "rope_interleaved",
        (RopePairing::Halves, true) => "norm_rope_halves",
        (RopePairing::Interleaved, true) => "norm_rope_interleaved",
    }
}
