//! Two packed matrices and the gate between them in one launch: `kernels/gemm_gated.metal`.

use arrayvec::ArrayVec;

use super::{FEW_ROWS, GATED, SOURCES, Spread, packed, packing};
use crate::device::{Argument, DeviceFacts, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::kernels::gemm::HalfInput;
use crate::kernels::matrix::{Packing, StoredMatrix};
use crate::twins::half_rows::power;

kernel_args! {
    /// Arguments of products with a gate.
    pub struct GemmGatedArguments {
        /// Elements of a row of the matrices, and of the input.
        columns: u32,
        /// Rows of each matrix.
        outputs: u32,
        /// Rows of the input.
        rows: u32,
        /// The power of two that results are multiplied with.
        power: f32,
    }
}

kernel_args! {
    /// Arguments of [`LongestRow`].
    pub struct LongestRowArguments {
        /// Columns of the matrix.
        columns: u32,
        /// Added to the norm's weight.
        offset: f32,
    }
}

/// `out[m] = silu(gate · input[m]) · (up · input[m])` as f16, for few rows, or for more some at a time.
#[derive(Debug, Clone, Copy)]
pub struct GatedGemm {
    /// How: [`GatedGemm::spread`]. A row's bits depend on it, and on nothing else but the row and the matrices.
    pub spread: Spread,
    /// Rows of the input.
    pub rows: usize,
    /// The gate's matrix and the other one after another, packed; each has a multiple of 16 rows.
    pub matrix: StoredMatrix,
    /// The power of two that results are multiplied with: [`LongestRow::power`].
    pub power: f32,
    /// The input as f16, of the norm that [`LongestRow`] was told of.
    pub input: HalfInput,
    /// `[rows, rows of each matrix]`: the result as f16.
    pub out: HalfInput,
}

impl GatedGemm {
    /// Tiles of a unit: one of each matrix.
    const TILES: usize = 2;

    /// The spread with which all cores are done earliest.
    pub fn spread(facts: &DeviceFacts, matrix: &StoredMatrix) -> Spread {
        Spread::of(facts, matrix, Self::TILES)
    }

    /// The kernel for so many rows of a packing.
    pub fn kernel(packing: Packing, rows: usize) -> Kernel {
        let entry = match rows {
            ..=FEW_ROWS => packed!("gemm_gated8_", packing),
            _ => packed!("gemm_gated16_", packing),
        };
        Kernel { source: &SOURCES[GATED], entry }
    }

    /// The launch.
    ///
    /// # Panics
    /// If the matrix is not packed.
    pub fn dispatch(&self) -> Dispatch {
        let &GatedGemm { spread, rows, matrix, power, input, out } = self;
        let (columns, outputs) = (matrix.columns, matrix.rows / 2);
        let kernel = Self::kernel(packing(&matrix).expect("a packed matrix"), rows);
        let inline =
            GemmGatedArguments { columns: columns as u32, outputs: outputs as u32, rows: rows as u32, power };
        let inputs = [input.halves, input.inverse, matrix.data].map(Argument::read);
        Dispatch {
            kernel,
            arguments: inputs.into_iter().chain(out.written()).chain([Argument::inline(&inline)]).collect(),
            grid: spread.grid(rows),
            work: Work {
                bytes_read: matrix.bytes() + (2 * rows * columns) as u64,
                bytes_written: (2 * rows * outputs) as u64,
                operations: (2 * rows * matrix.rows * columns) as u64,
            },
        }
    }
}

/// `longest = max(longest, |w ∘ row|²)` over the rows of a packed matrix, `w` the weights of the norm before it, when a model is
/// loaded.
#[derive(Debug, Clone, Copy)]
pub struct LongestRow {
    /// The matrix.
    pub matrix: StoredMatrix,
    /// `[columns]` f32: the norm's.
    pub weight: Slice,
    /// Added to them.
    pub offset: f32,
    /// One f32, at first 0.
    pub longest: Slice,
}

impl LongestRow {
    /// The kernel for a packing.
    pub fn kernel(packing: Packing) -> Kernel {
        Kernel { source: &SOURCES[GATED], entry: packed!("longest_row_", packing) }
    }

    /// What no result of a gate is greater than, before its power of two, by what was found of both matrices: twice what Cauchy
    /// and Schwarz say, since the input is rounded.
    pub fn greatest(columns: usize, longest: [f32; 2]) -> f32 {
        2.0 * columns as f32 * longest[0].sqrt() * longest[1].sqrt()
    }

    /// The power of two with which f16 holds all results of a gate: 1 where it does anyway.
    pub fn power(columns: usize, longest: [f32; 2]) -> f32 {
        power(LongestRow::greatest(columns, longest)).min(1.0)
    }

    /// The launch.
    ///
    /// # Panics
    /// If the matrix is not packed.
    pub fn dispatch(&self) -> Dispatch {
        let &LongestRow { matrix, weight, offset, longest } = self;
        let packing = packing(&matrix).expect("a packed matrix");
        let inline = LongestRowArguments { columns: matrix.columns as u32, offset };
        let threadgroups = matrix.rows.div_ceil(Packing::OUTPUTS) as u32;
        Dispatch {
            kernel: Self::kernel(packing),
            arguments: ArrayVec::from_iter([
                Argument::read(matrix.data),
                Argument::read(weight),
                Argument::update(longest),
                Argument::inline(&inline),
            ]),
            grid: Grid { threadgroups: [threadgroups, 1, 1], threads: [32, 1, 1] },
            work: Work {
                bytes_read: matrix.bytes(),
                bytes_written: 4,
                operations: (2 * matrix.rows * matrix.columns) as u64,
            },
        }
    }
}
