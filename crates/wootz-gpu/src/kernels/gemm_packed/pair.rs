//! Products of one input with two matrices that are packed differently, as one launch: `kernels/gemm_pair.metal`.

use arrayvec::ArrayVec;

use super::{FEW_ROWS, PAIR, SOURCES, Spread, UnnormedRow, packing, rows_together, tiles};
use crate::device::{ARGUMENTS, Argument, DeviceFacts, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::kernels::gemm::HalfInput;
use crate::kernels::joint::JointRows;
use crate::kernels::matrix::{Packing, StoredMatrix};

kernel_args! {
    /// Arguments of products with two matrices. Of each:
    pub struct GemmPairArguments {
        /// Rows of the matrix.
        outputs: [u32; 2],
        /// Outputs before those of its second result.
        second: [u32; 2],
        /// Outputs before those of its third result.
        third: [u32; 2],
        /// Whether there is a bias.
        has_bias: [u32; 2],
        /// Threadgroups that take the first.
        threadgroups: u32,
        /// Elements of a row of the matrices, and of the input.
        columns: u32,
        /// Rows of the input.
        rows: u32,
        /// Of a row before its norm: what is added to it first: nothing, something, or (2) something and the sum is written.
        adds: u32,
        /// Added to the mean square.
        epsilon: f32,
        /// Added to the norm's weight.
        offset: f32,
    }
}

/// How two matrices are spread over a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairSpread {
    /// Simdgroups of a threadgroup, which part the columns: 4, 8 or 16.
    pub simdgroups: u32,
    /// Threadgroups of each, at least one.
    pub threadgroups: [u32; 2],
}

/// One of two matrices.
#[derive(Debug, Clone, Copy)]
pub struct PairMember {
    /// The weights, packed.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// `[rows, matrix.rows]` f32, or for several matrices one after another `[rows, their rows]` each.
    pub out: JointRows,
}

/// What both are multiplied with.
#[derive(Debug, Clone, Copy)]
pub enum PairInput {
    /// So many rows, as f16.
    Rows(usize, HalfInput),
    /// A row that is normed on its way in.
    Unnormed(UnnormedRow),
}

/// `out = matrix · input (+ bias)`, of two matrices.
#[derive(Debug, Clone, Copy)]
pub struct PackedPair {
    /// How.
    pub spread: PairSpread,
    /// In an order that [`PackedPair::kernel`] knows.
    pub members: [PairMember; 2],
    /// The input.
    pub input: PairInput,
}

impl PairSpread {
    /// The one with which all cores are done earliest, or nearly: it depends on the device, the matrices, and whether there are more
    /// than eight rows. `None` where one is not packed.
    pub fn of(facts: &DeviceFacts, matrices: [&StoredMatrix; 2], rows: usize) -> Option<PairSpread> {
        let of_matrix = |matrix: &StoredMatrix| {
            let packing = packing(matrix)?;
            let tiles = tiles(packing, rows);
            let count = matrix.rows.div_ceil(tiles * Packing::OUTPUTS);
            Some(Units { count, record_bytes: tiles * packing.record_bytes() })
        };
        let units = [of_matrix(matrices[0])?, of_matrix(matrices[1])?];
        let records = Packing::records(matrices[0].columns);
        Some(PairSpread::of_units(facts.cores.map_or(1, |cores| cores as usize), units, records))
    }

    fn of_units(cores: usize, units: [Units; 2], records: usize) -> PairSpread {
        let bytes = units.map(|units| units.count * units.record_bytes);
        let best = |simdgroups: usize| {
            let most = (cores * Spread::HELD / simdgroups).max(2);
            let even = most * bytes[0] / (bytes[0] + bytes[1]);
            let split = |first: usize| {
                let threadgroups = [first.min(units[0].count), (most - first).min(units[1].count)];
                let longest = |i: usize| units[i].count.div_ceil(threadgroups[i]) * units[i].record_bytes;
                // Simdgroups take two records at a time.
                let depth = longest(0).max(longest(1)) * records.div_ceil(2 * simdgroups);
                let threadgroups = threadgroups.map(|count| count as u32);
                (depth, PairSpread { simdgroups: simdgroups as u32, threadgroups })
            };
            // Whole units may be dealt out better beside the even split, or with a threadgroup for each of one matrix.
            let near = even.saturating_sub(NEAR)..=even + NEAR;
            let splits = near.chain([units[0].count, most.saturating_sub(units[1].count), 1]);
            let splits = splits.filter(|first| (1..most).contains(first));
            splits.map(split).min_by_key(|(depth, _)| *depth).expect("each has a threadgroup at least")
        };
        let spreads = [4, 8, 16].map(best);
        let least = spreads.iter().map(|(depth, _)| *depth).min().expect("three");
        // As in `Spread::of`, the first of those that are nearly equal.
        spreads.into_iter().find(|(depth, _)| 32 * depth <= 33 * least).expect("the least is one of them").1
    }
}

/// What threadgroups take of a matrix, one after another.
#[derive(Clone, Copy)]
struct Units {
    count: usize,
    /// Of a record of each of its tiles.
    record_bytes: usize,
}

/// How far from the even split others are tried.
const NEAR: usize = 4;

impl PackedPair {
    /// The kernel for matrices in this order and so many rows of f16, or one before its norm; `None` where there is none.
    pub fn kernel(packings: [Packing; 2], rows: Option<usize>) -> Option<Kernel> {
        macro_rules! named {
            ($name:literal) => {
                match rows {
                    None => concat!("gemm_normed_pair_", $name),
                    Some(..=FEW_ROWS) => concat!("gemm_pair8_", $name),
                    Some(_) => concat!("gemm_pair16_", $name),
                }
            };
        }
        let entry = match packings {
            [Packing::Nibbles, Packing::FiveBits] => named!("nibbles_five_bits"),
            [Packing::Nibbles, Packing::SixBits] => named!("nibbles_six_bits"),
            [Packing::FiveBits, Packing::SixBits] => named!("five_bits_six_bits"),
            _ => return None,
        };
        Some(Kernel { source: &SOURCES[PAIR], entry })
    }

    /// The launch.
    ///
    /// # Panics
    /// If [`PackedPair::kernel`] says that there is none.
    pub fn dispatch(&self) -> Dispatch {
        let &PackedPair { spread, members, input } = self;
        let columns = members[0].matrix.columns;
        let packings = members.map(|member| packing(&member.matrix).expect("a packed matrix"));
        let mut inline = GemmPairArguments {
            outputs: members.map(|member| member.matrix.rows as u32),
            second: members.map(|member| member.out.begins()[0]),
            third: members.map(|member| member.out.begins()[1]),
            has_bias: members.map(|member| u32::from(member.bias.is_some())),
            threadgroups: spread.threadgroups[0],
            columns: columns as u32,
            rows: 1,
            adds: 0,
            epsilon: 0.0,
            offset: 0.0,
        };
        let mut arguments: ArrayVec<Argument, ARGUMENTS> = ArrayVec::new();
        // Bytes that are read for an element of the input.
        let (rows, row_bytes, kernel) = match input {
            PairInput::Rows(rows, input) => {
                arguments.extend([input.halves, input.inverse].map(Argument::read));
                inline.rows = rows as u32;
                (rows, 2, Self::kernel(packings, Some(rows)))
            }
            PairInput::Unnormed(row) => {
                arguments.extend(row.arguments(members[0].out.first()));
                (inline.adds, inline.epsilon, inline.offset) =
                    (row.adds(), row.norm.eps, row.norm.weight_offset);
                (1, 12, Self::kernel(packings, None))
            }
        };
        for PairMember { matrix, bias, out } in members {
            arguments.extend([matrix.data, bias.unwrap_or(matrix.data)].map(Argument::read));
            arguments.extend(out.written());
        }
        arguments.push(Argument::inline(&inline));
        let bias_bytes = |member: &PairMember| member.bias.map_or(0, |_| 4 * member.matrix.rows as u64);
        let biases: u64 = members.iter().map(bias_bytes).sum();
        let outputs: usize = members.iter().map(|member| member.matrix.rows).sum();
        let matrices: u64 = members.iter().map(|member| member.matrix.bytes()).sum();
        Dispatch {
            kernel: kernel.expect("looked at when the pair was chosen"),
            arguments,
            grid: Grid {
                threadgroups: [
                    spread.threadgroups.iter().sum(),
                    rows.div_ceil(rows_together(rows)) as u32,
                    1,
                ],
                threads: [32 * spread.simdgroups, 1, 1],
            },
            work: Work {
                bytes_read: matrices + (row_bytes * rows * columns) as u64 + biases,
                bytes_written: (4 * rows * outputs) as u64,
                operations: (2 * rows * outputs * columns) as u64,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_dealt_out_by_bytes() {
        let units = |nibbles: usize, six_bits: usize| {
            [(nibbles, Packing::Nibbles), (six_bits, Packing::SixBits)]
                .map(|(rows, packing)| Units { count: rows / 16, record_bytes: packing.record_bytes() })
        };
        // q and k of Llama 3.1 8B with its v on 132 cores.
        let spread = PairSpread::of_units(132, units(5120, 1024), 64);
        assert_eq!(spread, PairSpread { simdgroups: 8, threadgroups: [200, 64] });
        // A threadgroup for each unit of v is far from the even split.
        assert_eq!(PairSpread::of_units(128, units(3072, 1024), 16).threadgroups, [192, 64]);
        // Fewer cores than matrices, fewer units than threadgroups.
        let few = PairSpread::of_units(1, units(64, 16), 4);
        assert_eq!(few.threadgroups, [2, 1]);
        for (nibbles, six_bits, cores) in [(16, 16, 132), (16384, 16, 132), (16, 8192, 10), (4096, 4096, 1)] {
            let units = units(nibbles, six_bits);
            let PairSpread { simdgroups, threadgroups } = PairSpread::of_units(cores, units, 32);
            let all = threadgroups.iter().sum::<u32>() as usize;
            assert!(
                threadgroups.iter().all(|count| *count > 0)
                    && all * simdgroups as usize <= (16 * cores).max(32)
            );
        }
    }
}
