//! A product by the device's own library: `kernels/gemm_system.metal` around it.

use arrayvec::ArrayVec;

use super::{SOURCES, SYSTEM, bias_bytes};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::kernels::copy::DequantizeToHalf;
use crate::kernels::gemm_packed::UnpackToHalf;
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};
use crate::product::MatrixProduct;

kernel_args! {
    /// Arguments of `half_rows`.
    pub struct HalfRowsArguments {
        /// Of a row.
        columns: u32,
    }
}

kernel_args! {
    /// Arguments of `finish_rows`.
    pub struct FinishRowsArguments {
        /// Of a row.
        outputs: u32,
        /// Whether there is a bias.
        has_bias: u32,
    }
}

/// Threads of a threadgroup.
const THREADS: usize = 256;

/// `out[m] = matrix · input[m] (+ bias)`, with both factors made f16 first; rows beyond what f16 holds are scaled down by a
/// power of two, and their results up again.
#[derive(Debug, Clone, Copy)]
pub struct SystemGemm {
    /// Rows of input and out: at least 1.
    pub rows: usize,
    /// `[outputs, columns]`, of any format that kernels read.
    pub matrix: StoredMatrix,
    /// `[outputs]` f32.
    pub bias: Option<Slice>,
    /// The input as f16.
    pub input: HalfInput,
    /// Of [`SystemGemm::scratch_bytes`], at a multiple of 16 bytes.
    pub scratch: Slice,
    /// `[rows, outputs]` f32.
    pub out: Slice,
}

impl SystemGemm {
    /// Bytes of scratch: the matrix as f16.
    pub const fn scratch_bytes(outputs: usize, columns: usize) -> usize {
        2 * outputs * columns
    }

    /// The launches: the matrix's conversion, the product of f16, and its end.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 3> {
        let &SystemGemm { rows, matrix, bias, input, scratch, out } = self;
        let (outputs, inner) = (matrix.rows, matrix.columns);
        let right = scratch.part(0, Self::scratch_bytes(outputs, inner));
        let decoded = match matrix.format {
            MatrixFormat::Packed(_) => UnpackToHalf { matrix, out: right }.dispatch(),
            _ => DequantizeToHalf { matrix, out: right }.dispatch(),
        };
        ArrayVec::from_iter([
            decoded,
            MatrixProduct { rows, columns: outputs, inner, left: input.halves, right, out }.dispatch(),
            FinishRows { rows, outputs, inverse: input.inverse, bias, out }.dispatch(),
        ])
    }
}

/// Rows as f16, each multiplied with a power of two.
#[derive(Debug, Clone, Copy)]
pub struct HalfInput {
    /// `[rows, columns]` f16.
    pub halves: Slice,
    /// `[rows]` f32: 1 / the powers.
    pub inverse: Slice,
}

impl HalfInput {
    /// Bytes that rows take as f16 with their powers.
    pub const fn bytes(rows: usize, columns: usize) -> usize {
        Self::inverse_bytes(rows) + (2 * rows * columns).next_multiple_of(256)
    }

    /// Where rows lie in memory of [`HalfInput::bytes`].
    pub fn within(memory: Slice, rows: usize, columns: usize) -> HalfInput {
        let inverse = memory.part(0, 4 * rows);
        HalfInput { halves: memory.part(Self::inverse_bytes(rows), 2 * rows * columns), inverse }
    }

    /// As arguments of a kernel that makes it.
    pub fn written(self) -> [Argument; 2] {
        [Argument::write(self.halves), Argument::write(self.inverse)]
    }

    const fn inverse_bytes(rows: usize) -> usize {
        (4 * rows).next_multiple_of(256)
    }
}

/// `out[r] = f16(input[r] · scale)` and `inverse[r] = 1 / scale`, with the power of two that takes the row to where f16 is
/// exact.
#[derive(Debug, Clone, Copy)]
pub struct HalfRows {
    /// Rows: at least 1.
    pub rows: usize,
    /// Of a row.
    pub columns: usize,
    /// `[rows, columns]` f32.
    pub input: Slice,
    /// The result.
    pub out: HalfInput,
}

impl HalfRows {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &HalfRows { rows, columns, input, out } = self;
        Dispatch {
            kernel: Kernel { source: &SOURCES[SYSTEM], entry: "half_rows" },
            arguments: ArrayVec::from_iter([
                Argument::read(input),
                Argument::write(out.halves),
                Argument::write(out.inverse),
                Argument::inline(&HalfRowsArguments { columns: columns as u32 }),
            ]),
            grid: Grid { threadgroups: [rows as u32, 1, 1], threads: [THREADS as u32, 1, 1] },
            work: Work {
                bytes_read: 4 * (rows * columns) as u64,
                bytes_written: (2 * rows * columns + 4 * rows) as u64,
                operations: 2 * (rows * columns) as u64,
            },
        }
    }
}

/// `out[r, n] = out[r, n] · inverse[r] (+ bias[n])`.
#[derive(Debug, Clone, Copy)]
pub struct FinishRows {
    /// Rows: at least 1.
    pub rows: usize,
    /// Of a row.
    pub outputs: usize,
    /// `[rows]` f32.
    pub inverse: Slice,
    /// `[outputs]` f32.
    pub bias: Option<Slice>,
    /// `[rows, outputs]` f32.
    pub out: Slice,
}

impl FinishRows {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &FinishRows { rows, outputs, inverse, bias, out } = self;
        let arguments = FinishRowsArguments { outputs: outputs as u32, has_bias: u32::from(bias.is_some()) };
        // Nearly always it has nothing to do but to add a bias.
        let touched = if bias.is_some() { 4 * (rows * outputs) as u64 } else { 0 };
        Dispatch {
            kernel: Kernel { source: &SOURCES[SYSTEM], entry: "finish_rows" },
            arguments: ArrayVec::from_iter([
                Argument::update(out),
                Argument::read(inverse),
                Argument::read(bias.unwrap_or(inverse)),
                Argument::inline(&arguments),
            ]),
            grid: Grid { threadgroups: [rows as u32, 1, 1], threads: [THREADS as u32, 1, 1] },
            work: Work {
                bytes_read: touched + 4 * rows as u64 + bias_bytes(bias, outputs),
                bytes_written: touched,
                operations: touched / 2,
            },
        }
    }
}
