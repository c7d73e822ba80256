//! Attention of single rows: `kernels/attention_*.metal`.

use arrayvec::ArrayVec;
use wootz_backend::ops::Heads;

use super::combine::{Combine, Partials, Turn};
use super::{Attend, DecodeRows, Results, StepSlices, Unit, Weighing, source};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;

kernel_args! {
    /// Arguments of the attention kernels.
    pub struct AttentionArguments {
        /// Query heads.
        heads: u32,
        /// Query heads that share a key/value head.
        group: u32,
        /// Elements from one page to the next.
        page_stride: u32,
        /// Elements from the beginning of a page to the layer's first cell.
        layer_offset: u32,
        /// How far back a row looks, in tokens; 0 is without end.
        window: u32,
        /// Partitions that scratch has room for, for each head of each row.
        partitions: u32,
        /// Whether there are sinks.
        sinks: u32,
        /// Factor on scores.
        scale: f32,
        /// Cap on scores; 0 is none.
        softcap: f32,
        /// Whether results are f16.
        halves: u32,
    }
}

/// Softmax attention of the step's decode rows over their sequences' pages.
#[derive(Debug, Clone, Copy)]
pub struct AttentionDecode {
    /// Which rows: [`super::StepTables::decode`].
    pub rows: DecodeRows,
    /// Over what, and how.
    pub attend: Attend,
    /// On what.
    pub unit: Unit,
    /// The step.
    pub step: StepSlices,
    /// 16-byte aligned, at least [`AttentionDecode::scratch_bytes`] of one row; with less than that of all, rows take
    /// turns.
    pub scratch: Slice,
    /// `[rows, heads, head_dim]`, rotated, 16-byte aligned.
    pub query: Slice,
    /// Only the decode rows are written.
    pub out: Results,
}

impl AttentionDecode {
    /// Bytes of scratch that `rows` decode rows at positions up to `longest` use at once.
    pub fn scratch_bytes(rows: usize, longest: usize, heads: Heads, weighing: &Weighing) -> usize {
        Partials::bytes(rows, heads, weighing.partitions(longest))
    }

    /// The launches, in order: one, and one more where a row's context has more than one partition; for each turn.
    ///
    /// # Panics
    /// When scratch has no room for a row, or for a head size that is not in [`super::HEAD_SIZES`].
    pub fn dispatches(&self) -> impl Iterator<Item = Dispatch> + use<> {
        let AttentionDecode { attend, out, .. } = *self;
        let (this, heads, weighing) = (*self, attend.heads, attend.weighing);
        let partitions = weighing.partitions(self.rows.longest);
        Turn::all(self.rows, self.step, self.scratch, heads, partitions).flat_map(move |turn| {
            let (rows, step) = (turn.rows.count, turn.step);
            let combine = turn
                .partials
                .map(|partials| Combine { rows, heads, weighing, step, partials, out }.dispatch());
            [this.split(partitions, turn)].into_iter().chain(combine)
        })
    }

    /// The kernel of [`Unit::Registers`] for a head size; without one it is that of [`Unit::Cores`].
    pub fn on_registers(head_dim: usize) -> Option<Kernel> {
        let (file, entry) = match head_dim {
            64 => ("attention_registers_64.metal", "attention_registers_64"),
            80 => ("attention_registers_80.metal", "attention_registers_80"),
            96 => ("attention_registers_96.metal", "attention_registers_96"),
            128 => ("attention_registers_128.metal", "attention_registers_128"),
            192 => ("attention_registers_192.metal", "attention_registers_192"),
            256 => ("attention_registers_256.metal", "attention_registers_256"),
            _ => return None,
        };
        Some(Kernel { source: source(file), entry })
    }

    fn split(&self, partitions: usize, turn: Turn) -> Dispatch {
        let Attend { cache, heads, weighing, .. } = self.attend;
        let Turn { rows, step, partials } = turn;
        let variant = Variant::of(heads.dim, self.attend.group(), self.unit);
        let blocks = self.attend.group().div_ceil(variant.heads);
        let kv_heads = cache.shape.kv_heads;
        let (sums, stats) = match partials {
            Some(partials) => (Argument::write(partials.sums), Argument::write(partials.stats)),
            None => (Argument::read(self.query), Argument::read(self.query)),
        };
        let rows_bytes = 4 * (rows.count * heads.width()) as u64;
        let cache_bytes = (rows.tokens * kv_heads * heads.dim * 2 * 2) as u64;
        Dispatch {
            kernel: variant.kernel,
            arguments: ArrayVec::from_iter([
                Argument::read(self.query),
                Argument::read(cache.pool),
                Argument::read(step.pages),
                Argument::read(step.decode_rows),
                weighing.sinks_or(self.query),
                sums,
                stats,
                Argument::update(self.out.slice()),
                Argument::inline(&self.attend.arguments(partitions, self.out.are_halves())),
            ]),
            grid: Grid {
                threadgroups: [partitions as u32, (kv_heads * blocks) as u32, rows.count as u32],
                threads: [variant.threads, 1, 1],
            },
            work: Work {
                bytes_read: cache_bytes + rows_bytes,
                bytes_written: partials.map_or(rows_bytes, |partials| partials.sums.length as u64),
                operations: 4 * (rows.tokens * heads.width()) as u64,
            },
        }
    }
}

/// The instantiations of a file of one head size.
macro_rules! variants {
    ($head_dim:literal) => {
        &[
            (1, concat!("attention_decode_", $head_dim, "_x1")),
            (2, concat!("attention_decode_", $head_dim, "_x2")),
            (4, concat!("attention_decode_", $head_dim, "_x4")),
            (8, concat!("attention_decode_", $head_dim, "_x8")),
        ]
    };
}

/// An instantiation of the kernel.
struct Variant {
    kernel: Kernel,
    /// Query heads that it takes at once.
    heads: usize,
    /// Threads of a threadgroup.
    threads: u32,
}

impl Variant {
    /// The one that takes a whole group of query heads at once and wastes least; for more than 8, blocks of 8.
    ///
    /// # Panics
    /// For a head size that is not in [`super::HEAD_SIZES`]: that is refused at load.
    fn of(head_dim: usize, group: usize, unit: Unit) -> Variant {
        if let Some(kernel) = AttentionDecode::on_registers(head_dim).filter(|_| unit == Unit::Registers) {
            return Variant { kernel, heads: 8, threads: 256 };
        }
        let (file, sizes): (_, &[(usize, &'static str)]) = match head_dim {
            8 => ("attention_small.metal", &[(4, "attention_decode_8_x4")]),
            16 => ("attention_small.metal", &[(4, "attention_decode_16_x4")]),
            32 => ("attention_small.metal", &[(4, "attention_decode_32_x4")]),
            64 => ("attention_64.metal", variants!("64")),
            80 => ("attention_80.metal", variants!("80")),
            96 => ("attention_96.metal", variants!("96")),
            128 => ("attention_128.metal", variants!("128")),
            192 => ("attention_192.metal", variants!("192")),
            256 => ("attention_256.metal", variants!("256")),
            other => panic!("no attention kernel for a head size of {other}"),
        };
        let (heads, entry) =
            *sizes.iter().find(|(heads, _)| *heads >= group).unwrap_or(&sizes[sizes.len() - 1]);
        Variant { kernel: Kernel { source: source(file), entry }, heads, threads: 128 }
    }
}
