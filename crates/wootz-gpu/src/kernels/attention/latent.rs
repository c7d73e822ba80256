//! Attention over a latent cache: `kernels/attention_latent.metal`.

use arrayvec::ArrayVec;
use wootz_backend::ops::Heads;

use super::combine::{Combine, Partials};
use super::{AttentionArguments, DecodeRows, LatentCache, StepSlices, Weighing, source};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};

/// Latent and rotated elements of a key that kernels exist for.
pub const LATENT_SIZES: [(usize, usize); 2] = [(512, 64), (256, 32)];

/// Heads of a threadgroup, and its threads.
const HEADS: usize = 16;
const THREADS: u32 = 128;

/// Multi-head latent attention, absorbed: all heads look at the same vectors, which are keys and values.
///
/// Prompts go through it row by row: [`super::Route::OneAnswer`].
#[derive(Debug, Clone, Copy)]
pub struct AttentionLatent {
    /// Which rows: [`super::StepTables::decode`].
    pub rows: DecodeRows,
    /// The cache; its sizes are in [`LATENT_SIZES`].
    pub cache: LatentCache,
    /// The cache layer.
    pub layer: usize,
    /// Query heads.
    pub heads: usize,
    /// Scale, span, cap and sinks.
    pub weighing: Weighing,
    /// The step.
    pub step: StepSlices,
    /// At least [`AttentionLatent::scratch_bytes`], 16-byte aligned.
    pub scratch: Slice,
    /// `[rows, heads, latent + rope]`: the absorbed part, then the rotated one; 16-byte aligned.
    pub query: Slice,
    /// `[rows, heads, latent]`; only the decode rows are written.
    pub out: Slice,
}

impl AttentionLatent {
    /// Bytes of scratch that `rows` decode rows at positions up to `longest` need; a result has `results.dim`
    /// (latent) elements for each of `results.count` heads.
    pub fn scratch_bytes(rows: usize, longest: usize, results: Heads, weighing: &Weighing) -> usize {
        Partials::bytes(rows, results, weighing.partitions(longest))
    }

    /// One launch, or two where a row's context has more than one partition.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 2> {
        let heads = Heads { count: self.heads, dim: self.cache.latent };
        let partitions = self.weighing.partitions(self.rows.longest);
        let partials = Partials::of(self.scratch, self.rows.count, heads, partitions);
        let mut dispatches = ArrayVec::from_iter([self.split(partitions, partials)]);
        dispatches.extend(partials.map(|partials| {
            let (rows, weighing, step, out) = (self.rows.count, self.weighing, self.step, self.out);
            Combine { rows, heads, weighing, step, partials, out }.dispatch()
        }));
        dispatches
    }

    fn split(&self, partitions: usize, partials: Option<Partials>) -> Dispatch {
        let LatentCache { pool, latent, rope, .. } = self.cache;
        let arguments = AttentionArguments {
            heads: self.heads as u32,
            group: self.heads as u32,
            page_stride: self.cache.page_stride(),
            layer_offset: self.cache.layer_offset(self.layer),
            window: self.weighing.window(),
            partitions: partitions as u32,
            sinks: u32::from(self.weighing.sinks.is_some()),
            scale: self.weighing.scale,
            softcap: self.weighing.softcap.unwrap_or(0.0),
        };
        let (sums, stats) = match partials {
            Some(partials) => (Argument::write(partials.sums), Argument::write(partials.stats)),
            None => (Argument::read(self.query), Argument::read(self.query)),
        };
        let (key, heads, rows) = (latent + rope, self.heads, self.rows.count);
        let result_bytes = (4 * rows * heads * latent) as u64;
        Dispatch {
            kernel: kernel(latent, rope),
            arguments: ArrayVec::from_iter([
                Argument::read(self.query),
                Argument::read(pool),
                Argument::read(self.step.positions),
                Argument::read(self.step.row_pages),
                Argument::read(self.step.pages),
                Argument::read(self.step.decode_rows),
                self.weighing.sinks_or(self.query),
                sums,
                stats,
                Argument::update(self.out),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [partitions as u32, heads.div_ceil(HEADS) as u32, rows as u32],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: (2 * self.rows.tokens * key + 4 * rows * heads * key) as u64,
                bytes_written: partials.map_or(result_bytes, |partials| partials.sums.length as u64),
                operations: (2 * self.rows.tokens * heads * (key + latent)) as u64,
            },
        }
    }
}

/// # Panics
/// For sizes that are not in [`LATENT_SIZES`]: that is refused at load.
fn kernel(latent: usize, rope: usize) -> Kernel {
    let entry = match (latent, rope) {
        (512, 64) => "attention_latent_576",
        (256, 32) => "attention_latent_288",
        other => panic!("no latent attention kernel for sizes of {other:?}"),
    };
    Kernel { source: source("attention_latent.metal"), entry }
}
