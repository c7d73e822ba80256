//! Attention over a latent cache: `kernels/attention_latent.metal`.

use arrayvec::ArrayVec;
use wootz_backend::ops::Heads;

use super::combine::{Combine, Partials, Turn};
use super::{AttentionArguments, DecodeRows, LatentCache, Results, StepSlices, Weighing, source};
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
    /// 16-byte aligned, at least [`AttentionLatent::scratch_bytes`] of one row; with less than that of all, rows take
    /// turns.
    pub scratch: Slice,
    /// `[rows, heads, latent + rope]`: the absorbed part, then the rotated one; 16-byte aligned.
    pub query: Slice,
    /// `[rows, heads, latent]`; only the decode rows are written.
    pub out: Slice,
}

impl AttentionLatent {
    /// Bytes of scratch that `rows` decode rows at positions up to `longest` use at once; a result has `results.dim`
    /// (latent) elements for each of `results.count` heads.
    pub fn scratch_bytes(rows: usize, longest: usize, results: Heads, weighing: &Weighing) -> usize {
        Partials::bytes(rows, results, weighing.partitions(longest))
    }

    /// The launches, in order: one, and one more where a row's context has more than one partition; for each turn.
    ///
    /// # Panics
    /// When scratch has no room for a row, or for sizes that are not in [`LATENT_SIZES`].
    pub fn dispatches(&self) -> impl Iterator<Item = Dispatch> + use<> {
        let AttentionLatent { weighing, out, .. } = *self;
        let (this, heads) = (*self, Heads { count: self.heads, dim: self.cache.latent });
        let partitions = weighing.partitions(self.rows.longest);
        Turn::all(self.rows, self.step, self.scratch, heads, partitions).flat_map(move |turn| {
            let (rows, step) = (turn.rows.count, turn.step);
            let combine = turn.partials.map(|partials| {
                Combine { rows, heads, weighing, step, partials, out: Results::Floats(out) }.dispatch()
            });
            [this.split(partitions, turn)].into_iter().chain(combine)
        })
    }

    fn split(&self, partitions: usize, turn: Turn) -> Dispatch {
        let Turn { rows: DecodeRows { count: rows, tokens, .. }, step, partials } = turn;
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
            halves: 0,
        };
        let (sums, stats) = match partials {
            Some(partials) => (Argument::write(partials.sums), Argument::write(partials.stats)),
            None => (Argument::read(self.query), Argument::read(self.query)),
        };
        let (key, heads) = (latent + rope, self.heads);
        let result_bytes = (4 * rows * heads * latent) as u64;
        Dispatch {
            kernel: kernel(latent, rope),
            arguments: ArrayVec::from_iter([
                Argument::read(self.query),
                Argument::read(pool),
                Argument::read(step.pages),
                Argument::read(step.decode_rows),
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
                bytes_read: (2 * tokens * key + 4 * rows * heads * key) as u64,
                bytes_written: partials.map_or(result_bytes, |partials| partials.sums.length as u64),
                operations: (2 * tokens * heads * (key + latent)) as u64,
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
