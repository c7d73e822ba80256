//! Joining partitions: `kernels/attention_combine.metal`.

use arrayvec::ArrayVec;
use wootz_backend::ops::Heads;

use super::{DecodeRows, Results, StepSlices, Weighing, source};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;

kernel_args! {
    /// Arguments of `attention_combine`.
    pub struct CombineArguments {
        /// Query heads.
        heads: u32,
        /// Elements of a head's result: a multiple of 4.
        dims: u32,
        /// How far back a row looks, in tokens; 0 is without end.
        window: u32,
        /// Partitions that scratch has room for, for each head of each row.
        partitions: u32,
        /// Whether there are sinks.
        sinks: u32,
        /// Whether results are f16.
        halves: u32,
    }
}

/// Dims of a threadgroup, and its threads.
const DIMS: usize = 128;
const THREADS: u32 = 256;

/// What a split kernel leaves for the rows whose context has several partitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partials {
    /// `[decode rows, heads, partitions, dims]` f32.
    pub sums: Slice,
    /// `[decode rows, heads, partitions, 2]` f32: the greatest score, the sum of powers.
    pub stats: Slice,
    /// The stride of both.
    pub partitions: usize,
}

impl Partials {
    /// Bytes of scratch for `rows` rows of `heads` with `partitions`.
    pub fn bytes(rows: usize, heads: Heads, partitions: usize) -> usize {
        match partitions {
            1 => 0,
            _ => 4 * rows * heads.count * partitions * (heads.dim + 2),
        }
    }

    /// Divides scratch; none where no row has more than one partition.
    fn of(scratch: Slice, rows: usize, heads: Heads, partitions: usize) -> Option<Partials> {
        let stats = 8 * rows * heads.count * partitions;
        let sums = Partials::bytes(rows, heads, partitions).checked_sub(stats)?;
        Some(Partials { sums: scratch.part(0, sums), stats: scratch.part(sums, stats), partitions })
    }
}

/// Some of the decode rows of a step: as many as scratch has room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// How many, and their share of what all look at.
    pub rows: DecodeRows,
    /// The step, with these rows as its decode rows.
    pub step: StepSlices,
    /// Where their partitions go, if any has several.
    pub partials: Option<Partials>,
}

impl Turn {
    /// All decode rows, in as few turns as scratch allows; without partitions it takes none.
    ///
    /// # Panics
    /// When scratch has no room for a single row: that is a mistake of the program, not of its input.
    pub fn all(
        rows: DecodeRows,
        step: StepSlices,
        scratch: Slice,
        heads: Heads,
        partitions: usize,
    ) -> impl Iterator<Item = Turn> {
        let room = scratch.length.checked_div(Partials::bytes(1, heads, partitions)).unwrap_or(rows.count);
        assert!(room > 0, "scratch of {} bytes has no room for a row of {heads:?}", scratch.length);
        (0..rows.count).step_by(room).map(move |first| {
            let count = room.min(rows.count - first);
            let tokens = rows.tokens * count / rows.count;
            let decode_rows = step.decode_rows.part(16 * first, 16 * count);
            Turn {
                rows: DecodeRows { count, tokens, ..rows },
                step: StepSlices { decode_rows, ..step },
                partials: Partials::of(scratch, count, heads, partitions),
            }
        })
    }
}

/// The second launch of a split kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Combine {
    /// How many decode rows.
    pub rows: usize,
    /// Query heads and elements of each result.
    pub heads: Heads,
    /// What the first launch was told.
    pub weighing: Weighing,
    /// The step.
    pub step: StepSlices,
    /// What the first launch left.
    pub partials: Partials,
    /// `[rows, heads, dims]`.
    pub out: Results,
}

impl Combine {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let Combine { heads, partials, .. } = *self;
        let arguments = CombineArguments {
            heads: heads.count as u32,
            dims: heads.dim as u32,
            window: self.weighing.window(),
            partitions: partials.partitions as u32,
            sinks: u32::from(self.weighing.sinks.is_some()),
            halves: u32::from(self.out.are_halves()),
        };
        let results = (self.rows * heads.width()) as u64;
        Dispatch {
            kernel: Kernel { source: source("attention_combine.metal"), entry: "attention_combine" },
            arguments: ArrayVec::from_iter([
                Argument::read(partials.sums),
                Argument::read(partials.stats),
                Argument::read(self.step.decode_rows),
                self.weighing.sinks_or(partials.stats),
                Argument::update(self.out.slice()),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [heads.count as u32, self.rows as u32, heads.dim.div_ceil(DIMS) as u32],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: (partials.sums.length + partials.stats.length) as u64,
                bytes_written: 4 * results,
                operations: 2 * results * partials.partitions as u64,
            },
        }
    }
}
