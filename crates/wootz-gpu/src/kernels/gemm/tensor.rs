//! Matrix times many rows by Metal 4's tensor operations: `kernels/gemm_tensor.metal`.

use wootz_weights::TensorType;

use super::{GemmArguments, SOURCES, TENSOR, THREADS, bias_bytes, product_arguments};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::names;
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};

/// Rows of a tile.
const ROWS: usize = 64;
/// Outputs of a tile.
const OUTPUTS: usize = 32;

/// `out[m] = matrix · input[m] (+ bias)` by tensor operations: only for devices that have them
/// ([`crate::device::DeviceFacts::tensor_operations`]).
#[derive(Debug, Clone, Copy)]
pub struct TensorGemm {
    /// Rows of input and out: at least 1.
    pub rows: usize,
    /// `[outputs, columns]`; columns are a multiple of 16.
    pub matrix: StoredMatrix,
    /// `[outputs]` f32.
    pub bias: Option<Slice>,
    /// `[rows, columns]` f32.
    pub input: Slice,
    /// `[rows, outputs]` f32.
    pub out: Slice,
}

impl TensorGemm {
    /// The formats that it reads.
    pub const FORMATS: [MatrixFormat; 5] = [
        MatrixFormat::Ggml(TensorType::F16),
        MatrixFormat::Ggml(TensorType::Q8_0),
        MatrixFormat::Ggml(TensorType::Q4_0),
        MatrixFormat::Ggml(TensorType::Q4_K),
        MatrixFormat::Ggml(TensorType::Q6_K),
    ];

    /// The entry point for matrices of this format and width; `None` where there is none.
    pub fn entry(format: MatrixFormat, columns: usize) -> Option<&'static str> {
        let covered = Self::FORMATS.contains(&format) && columns.is_multiple_of(16);
        if covered { names!("gemm_tensor_")(format) } else { None }
    }

    /// The launch.
    ///
    /// # Panics
    /// If [`TensorGemm::entry`] is `None`.
    pub fn dispatch(&self) -> Dispatch {
        let &TensorGemm { rows, matrix, bias, input, out } = self;
        let StoredMatrix { format, rows: outputs, columns, .. } = matrix;
        let entry = Self::entry(format, columns)
            .unwrap_or_else(|| panic!("no tensor kernel for {format} with {columns} columns"));
        let arguments = GemmArguments {
            rows: rows as u32,
            outputs: outputs as u32,
            columns: columns as u32,
            part_columns: columns as u32,
            has_bias: u32::from(bias.is_some()),
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[TENSOR], entry },
            arguments: product_arguments(input, &matrix, bias, out, Argument::inline(&arguments)),
            grid: Grid {
                threadgroups: [rows.div_ceil(ROWS) as u32, outputs.div_ceil(OUTPUTS) as u32, 1],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: matrix.bytes() + 4 * (rows * columns) as u64 + bias_bytes(bias, outputs),
                bytes_written: 4 * (rows * outputs) as u64,
                operations: 2 * (rows * outputs * columns) as u64,
            },
        }
    }
}
