//! Products of one row that is normed on its way in: `kernels/gemm_normed.metal`.

use arrayvec::ArrayVec;
use wootz_spec::Norm;

use super::{NORMED, SOURCES, Spread, packed, packing};
use crate::device::{Argument, DeviceFacts, Dispatch, Kernel, Slice, Work};
use crate::kernel_args;
use crate::kernels::gemm::HalfInput;
use crate::kernels::joint::JointRows;
use crate::kernels::matrix::{Packing, StoredMatrix};

kernel_args! {
    /// Arguments of products of a row that is normed.
    pub struct GemmNormedArguments {
        /// Elements of a row of the matrix, and of the input.
        columns: u32,
        /// Rows of the matrix.
        outputs: u32,
        /// Outputs before those of the second result.
        second: u32,
        /// Outputs before those of the third result.
        third: u32,
        /// Whether there is a bias.
        has_bias: u32,
        /// What is added to the row first: nothing, something, or (2) something and the sum is written.
        adds: u32,
        /// Added to the mean square.
        epsilon: f32,
        /// Added to the norm's weight.
        offset: f32,
    }
}

kernel_args! {
    /// Arguments of those with a gate.
    pub struct GemmNormedGatedArguments {
        /// Elements of a row of the matrices, and of the input.
        columns: u32,
        /// Rows of each matrix.
        outputs: u32,
        /// What is added to the row first: nothing, something, or (2) something and the sum is written.
        adds: u32,
        /// Added to the mean square.
        epsilon: f32,
        /// Added to the norm's weight.
        offset: f32,
        /// The power of two that results are multiplied with.
        power: f32,
    }
}

/// Columns of an [`UnnormedRow`] at most: what threadgroup memory has room for.
pub const MOST_COLUMNS: usize = 8192;
/// Columns for a thread at most: what it holds in registers.
const THREAD_COLUMNS: usize = 16;

/// A row before its norm.
#[derive(Debug, Clone, Copy)]
pub struct UnnormedRow {
    /// Its elements.
    pub columns: usize,
    /// `[columns]` f32.
    pub residual: Slice,
    /// What is added to it first: `[columns]` f32.
    pub added: Option<Slice>,
    /// Where the sum goes, if this launch is to write it: `[columns]` f32, in another place.
    pub sum: Option<Slice>,
    /// `[columns]` f32, of the norm.
    pub weight: Slice,
    /// The norm.
    pub norm: Norm,
}

impl UnnormedRow {
    /// Whether threadgroups of so many simdgroups can norm so many columns.
    pub fn fits(simdgroups: u32, columns: usize) -> bool {
        columns <= MOST_COLUMNS.min(THREAD_COLUMNS * 32 * simdgroups as usize)
    }

    /// As arguments of a kernel; `unwritten` stands for the sum where there is none.
    pub(super) fn arguments(&self, unwritten: Slice) -> [Argument; 4] {
        let added = self.added.unwrap_or(self.residual);
        let [residual, added, weight] = [self.residual, added, self.weight].map(Argument::read);
        [residual, added, weight, Argument::write(self.sum.unwrap_or(unwritten))]
    }

    /// As a field of an argument struct.
    pub(super) fn adds(&self) -> u32 {
        match (self.added, self.sum) {
            (None, _) => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 2,
        }
    }
}

/// `out = matrix · norm(row) (+ bias)`.
#[derive(Debug, Clone, Copy)]
pub struct NormedGemm {
    /// How: [`NormedGemm::spread`].
    pub spread: Spread,
    /// The weights, packed.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// The input; it fits the spread.
    pub row: UnnormedRow,
    /// `[matrix.rows]` f32, or for several matrices one after another `[their rows]` each.
    pub out: JointRows,
}

impl NormedGemm {
    /// The spread with which all cores are done earliest.
    pub fn spread(facts: &DeviceFacts, matrix: &StoredMatrix) -> Spread {
        Spread::of(facts, matrix, 1)
    }

    /// The kernel for a packing.
    pub fn kernel(packing: Packing) -> Kernel {
        Kernel { source: &SOURCES[NORMED], entry: packed!("gemm_normed_", packing) }
    }

    /// The launch.
    ///
    /// # Panics
    /// If the matrix is not packed.
    pub fn dispatch(&self) -> Dispatch {
        let &NormedGemm { spread, matrix, bias, row, out } = self;
        let (columns, outputs) = (matrix.columns, matrix.rows);
        let [second, third] = out.begins();
        let inline = GemmNormedArguments {
            columns: columns as u32,
            outputs: outputs as u32,
            second,
            third,
            has_bias: u32::from(bias.is_some()),
            adds: row.adds(),
            epsilon: row.norm.eps,
            offset: row.norm.weight_offset,
        };
        let mut arguments = ArrayVec::from_iter(row.arguments(out.first()));
        arguments.extend([Argument::read(matrix.data), Argument::read(bias.unwrap_or(row.weight))]);
        arguments.extend(out.written());
        arguments.push(Argument::inline(&inline));
        Dispatch {
            kernel: Self::kernel(packing(&matrix).expect("a packed matrix")),
            arguments,
            grid: spread.grid(1),
            work: Work {
                bytes_read: matrix.bytes() + (12 * columns) as u64 + bias.map_or(0, |_| 4 * outputs as u64),
                bytes_written: (4 * outputs) as u64,
                operations: (2 * outputs * columns) as u64,
            },
        }
    }
}

/// `out = silu(gate · norm(row)) · (up · norm(row))` as f16: [`GatedGemm`](super::GatedGemm) of a row that is normed.
#[derive(Debug, Clone, Copy)]
pub struct NormedGatedGemm {
    /// How: as of [`GatedGemm`](super::GatedGemm).
    pub spread: Spread,
    /// The gate's matrix and the other one after another, packed.
    pub matrix: StoredMatrix,
    /// As of [`GatedGemm`](super::GatedGemm).
    pub power: f32,
    /// The input; it fits the spread.
    pub row: UnnormedRow,
    /// `[rows of each matrix]`.
    pub out: HalfInput,
}

impl NormedGatedGemm {
    /// The kernel for a packing.
    pub fn kernel(packing: Packing) -> Kernel {
        Kernel { source: &SOURCES[NORMED], entry: packed!("gemm_normed_gated_", packing) }
    }

    /// The launch.
    ///
    /// # Panics
    /// If the matrix is not packed.
    pub fn dispatch(&self) -> Dispatch {
        let &NormedGatedGemm { spread, matrix, power, row, out } = self;
        let (columns, outputs) = (matrix.columns, matrix.rows / 2);
        let inline = GemmNormedGatedArguments {
            columns: columns as u32,
            outputs: outputs as u32,
            adds: row.adds(),
            epsilon: row.norm.eps,
            offset: row.norm.weight_offset,
            power,
        };
        let mut arguments = ArrayVec::from_iter(row.arguments(out.inverse));
        arguments.push(Argument::read(matrix.data));
        arguments.extend(out.written());
        arguments.push(Argument::inline(&inline));
        Dispatch {
            kernel: Self::kernel(packing(&matrix).expect("a packed matrix")),
            arguments,
            grid: spread.grid(1),
            work: Work {
                bytes_read: matrix.bytes() + (12 * columns) as u64,
                bytes_written: (2 * outputs) as u64,
                operations: (2 * matrix.rows * columns) as u64,
            },
        }
    }
}
