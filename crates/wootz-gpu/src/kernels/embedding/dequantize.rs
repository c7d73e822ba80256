//! A whole matrix as f16, for matrix products that read nothing else.

use arrayvec::ArrayVec;

use super::{line_of, source_of, threads_of_row};
use crate::device::{Argument, Dispatch, Kernel, Slice, Work};
use crate::formats::names;
use crate::kernel_args;
use crate::kernels::copy::{Convert, Number};
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};

use wootz_weights::TensorType;

kernel_args! {
    /// Arguments of `dequantize`.
    pub struct DequantizeArguments {
        /// Rows of the matrix.
        rows: u32,
        /// Elements of a row.
        columns: u32,
    }
}

/// `out = matrix`, as f16 row after row, of a matrix of any format that kernels read. What f16 can't hold (beyond 65504)
/// becomes infinite.
#[derive(Debug, Clone, Copy)]
pub struct DequantizeToHalf {
    /// The matrix.
    pub matrix: StoredMatrix,
    /// `[rows, columns]` f16, at a multiple of 16 bytes.
    pub out: Slice,
}

impl DequantizeToHalf {
    /// The launch.
    ///
    /// # Panics
    /// If [`super::Embed::reads`] says no of the format.
    pub fn dispatch(&self) -> Dispatch {
        let &DequantizeToHalf { matrix, out } = self;
        let elements = matrix.rows * matrix.columns;
        let convert =
            |from| Convert { from, to: Number::F16, count: elements, input: matrix.data, out }.dispatch();
        match matrix.format {
            MatrixFormat::Ggml(TensorType::F32) => return convert(Number::F32),
            MatrixFormat::Ggml(TensorType::F16) => return convert(Number::F16),
            MatrixFormat::Ggml(TensorType::BF16) => return convert(Number::BF16),
            _ => {}
        }
        let source = source_of(matrix.format).expect("the format was looked at when the matrix was loaded");
        let entry = names!("dequantize_")(matrix.format).expect("a source has the entry");
        let arguments = DequantizeArguments { rows: matrix.rows as u32, columns: matrix.columns as u32 };
        let mut buffers = ArrayVec::from_iter(matrix.arguments());
        buffers.push(Argument::write(out));
        buffers.push(Argument::inline(&arguments));
        Dispatch {
            kernel: Kernel { source, entry },
            arguments: buffers,
            grid: line_of(matrix.rows * threads_of_row(matrix.format, matrix.columns)),
            work: Work {
                bytes_read: matrix.bytes(),
                bytes_written: 2 * elements as u64,
                operations: 2 * elements as u64,
            },
        }
    }
}
