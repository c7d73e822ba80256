//! Attention of prompts: `kernels/attention_*.metal`.

use arrayvec::ArrayVec;

use wootz_backend::ops::Heads;

use super::{Attend, PrefillTiles, Results, StepSlices, TILE_ROWS, Unit, source};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};

/// Simdgroups of a threadgroup of the kernels of [`Unit::Registers`], and the rows that each takes.
const SIMDGROUPS: usize = 8;
const SIMDGROUP_ROWS: usize = 16;

/// Softmax attention of the step's prefill tiles over their sequences' pages.
#[derive(Debug, Clone, Copy)]
pub struct AttentionPrefill {
    /// Which tiles: [`super::StepTables::prefill`].
    pub tiles: PrefillTiles,
    /// Over what, and how.
    pub attend: Attend,
    /// On what.
    pub unit: Unit,
    /// The step.
    pub step: StepSlices,
    /// `[rows, heads, head_dim]`, rotated, 16-byte aligned.
    pub query: Slice,
    /// Only the rows of tiles are written.
    pub out: Results,
}

impl AttentionPrefill {
    /// The kernel of [`Unit::Registers`] for a head size; without one it is that of [`Unit::Cores`].
    pub fn on_registers(head_dim: usize) -> Option<Kernel> {
        let (file, entry) = match head_dim {
            64 => ("attention_registers_64.metal", "attention_prefill_registers_64"),
            80 => ("attention_registers_80.metal", "attention_prefill_registers_80"),
            96 => ("attention_registers_96.metal", "attention_prefill_registers_96"),
            128 => ("attention_registers_128.metal", "attention_prefill_registers_128"),
            _ => return None,
        };
        Some(Kernel { source: source(file), entry })
    }

    /// Rows of a tile at most where `heads` share `kv_heads`: what a threadgroup takes of one. A launch may get shorter
    /// tiles, which leave some of it idle.
    pub fn tile_rows(unit: Unit, heads: Heads, kv_heads: usize) -> usize {
        match AttentionPrefill::on_registers(heads.dim).filter(|_| unit == Unit::Registers) {
            Some(_) => SIMDGROUP_ROWS * SIMDGROUPS / heads_at_once(heads.count / kv_heads),
            None => TILE_ROWS,
        }
    }

    /// The launch.
    ///
    /// # Panics
    /// For a head size that is not in [`super::HEAD_SIZES`]: that is refused at load.
    pub fn dispatch(&self) -> Dispatch {
        let Attend { cache, heads, weighing, .. } = self.attend;
        let rows_bytes = 4 * (self.tiles.rows * heads.width()) as u64;
        let cache_bytes = (self.tiles.tokens * cache.shape.kv_heads * heads.dim * 2 * 2) as u64;
        let on_registers = AttentionPrefill::on_registers(heads.dim).filter(|_| self.unit == Unit::Registers);
        let group = self.attend.group();
        let (kernel, across, threads) = match on_registers {
            Some(kernel) => (kernel, cache.shape.kv_heads * group.div_ceil(heads_at_once(group)), 256),
            None => (kernel(heads.dim), heads.count, 128),
        };
        Dispatch {
            kernel,
            arguments: ArrayVec::from_iter([
                Argument::read(self.query),
                Argument::read(cache.pool),
                Argument::read(self.step.pages),
                Argument::read(self.step.prefill_tiles),
                weighing.sinks_or(self.query),
                Argument::update(self.out.slice()),
                Argument::inline(&self.attend.arguments(1, self.out.are_halves())),
            ]),
            grid: Grid {
                threadgroups: [across as u32, self.tiles.count as u32, 1],
                threads: [threads, 1, 1],
            },
            work: Work {
                bytes_read: cache_bytes + rows_bytes,
                bytes_written: rows_bytes,
                operations: 4 * (self.tiles.row_tokens * heads.width()) as u64,
            },
        }
    }
}

/// Heads that a threadgroup of the kernels of [`Unit::Registers`] takes of a `group` that shares a kv head: as many as leave at
/// most an eighth of its simdgroups idle.
fn heads_at_once(group: usize) -> usize {
    let few_are_idle = |heads: &usize| {
        let places = group.next_multiple_of(*heads);
        8 * (places - group) <= places
    };
    [4, 2].into_iter().find(few_are_idle).unwrap_or(1)
}

fn kernel(head_dim: usize) -> Kernel {
    let (file, entry) = match head_dim {
        8 => ("attention_small.metal", "attention_prefill_8"),
        16 => ("attention_small.metal", "attention_prefill_16"),
        32 => ("attention_small.metal", "attention_prefill_32"),
        64 => ("attention_64.metal", "attention_prefill_64"),
        80 => ("attention_80.metal", "attention_prefill_80"),
        96 => ("attention_96.metal", "attention_prefill_96"),
        128 => ("attention_128.metal", "attention_prefill_128"),
        192 => ("attention_192.metal", "attention_prefill_192"),
        256 => ("attention_256.metal", "attention_prefill_256"),
        other => panic!("no attention kernel for a head size of {other}"),
    };
    Kernel { source: source(file), entry }
}

#[cfg(test)]
mod tests {
    use super::heads_at_once;

    /// The kernel finds the number of heads from that of threadgroups.
    #[test]
    fn threadgroups_tell_their_heads() {
        for group in 1..100_usize {
            let heads = heads_at_once(group);
            assert_eq!(group.div_ceil(group.div_ceil(heads)), heads, "{group}");
        }
    }

    #[test]
    fn few_simdgroups_are_idle() {
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16].map(heads_at_once), [1, 2, 1, 4, 1, 2, 4, 4, 2, 4, 4]);
    }
}
