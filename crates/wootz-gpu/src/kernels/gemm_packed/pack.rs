//! Matrices to packed ones, and those to f16: `kernels/pack.metal`.

use arrayvec::ArrayVec;
use wootz_weights::TensorType;

use super::{PACK, SOURCES, packed, packing};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::kernels::matrix::{MatrixFormat, Packing, StoredMatrix};

kernel_args! {
    /// Arguments of the kernels.
    pub struct PackArguments {
        /// Rows of the matrix.
        rows: u32,
        /// Columns of the matrix.
        columns: u32,
    }
}

fn launch(
    entry: &'static str,
    input: Slice,
    out: Slice,
    (rows, columns): (usize, usize),
    records: usize,
) -> Dispatch {
    let arguments = PackArguments { rows: rows as u32, columns: columns as u32 };
    let records = [records, rows.div_ceil(Packing::OUTPUTS)];
    Dispatch {
        kernel: Kernel { source: &SOURCES[PACK], entry },
        arguments: ArrayVec::from_iter([
            Argument::read(input),
            Argument::write(out),
            Argument::inline(&arguments),
        ]),
        grid: Grid { threadgroups: [records[0] as u32, records[1] as u32, 1], threads: [32, 1, 1] },
        work: Work {
            bytes_read: input.length as u64,
            bytes_written: out.length as u64,
            operations: (rows * columns) as u64,
        },
    }
}

/// A matrix of a usual format in another order.
#[derive(Debug, Clone, Copy)]
pub struct Pack {
    /// What is packed.
    pub matrix: StoredMatrix,
    /// Of [`Pack::bytes`], at a multiple of 16.
    pub out: Slice,
}

impl Pack {
    /// What a matrix of a format and so many columns is packed as; `None` where it is left as it is.
    pub fn packing(format: MatrixFormat, columns: usize) -> Option<Packing> {
        let MatrixFormat::Ggml(kind) = format else { return None };
        let packing = match kind {
            TensorType::Q4_K | TensorType::Q4_0 | TensorType::Q4_1 => Packing::Nibbles,
            TensorType::Q5_K | TensorType::Q5_0 | TensorType::Q5_1 => Packing::FiveBits,
            TensorType::Q6_K => Packing::SixBits,
            TensorType::Q8_0 => Packing::Bytes,
            TensorType::F16 | TensorType::BF16 => Packing::Halves,
            _ => return None,
        };
        let fits = columns >= Packing::LEAST_COLUMNS && columns.is_multiple_of(Packing::COLUMNS);
        fits.then_some(packing)
    }

    /// Bytes of a packed matrix.
    pub fn bytes(packing: Packing, rows: usize, columns: usize) -> usize {
        rows.div_ceil(Packing::OUTPUTS) * Packing::records(columns) * packing.record_bytes()
    }

    /// The launch, and the matrix that it makes.
    ///
    /// # Panics
    /// If [`Pack::packing`] is `None`, or the memory is not as large as it says.
    pub fn dispatch(&self) -> (Dispatch, StoredMatrix) {
        let &Pack { matrix, out } = self;
        let StoredMatrix { format, rows, columns, .. } = matrix;
        let packing = Self::packing(format, columns).expect("a format that can be packed");
        let entry = match format {
            MatrixFormat::Ggml(TensorType::Q4_K) => "pack_q4_k",
            MatrixFormat::Ggml(TensorType::Q4_0) => "pack_q4_0",
            MatrixFormat::Ggml(TensorType::Q4_1) => "pack_q4_1",
            MatrixFormat::Ggml(TensorType::Q5_K) => "pack_q5_k",
            MatrixFormat::Ggml(TensorType::Q5_0) => "pack_q5_0",
            MatrixFormat::Ggml(TensorType::Q5_1) => "pack_q5_1",
            MatrixFormat::Ggml(TensorType::Q6_K) => "pack_q6_k",
            MatrixFormat::Ggml(TensorType::Q8_0) => "pack_q8_0",
            MatrixFormat::Ggml(TensorType::F16) => "pack_f16",
            _ => "pack_bf16",
        };
        let format = MatrixFormat::Packed(packing);
        let packed = StoredMatrix { format, rows, columns, data: out, scales: None, biases: None };
        let packed = packed.checked().expect("memory of the size that was asked for");
        (launch(entry, matrix.data, out, (rows, columns), Packing::records(columns)), packed)
    }
}

/// A packed matrix as rows of f16.
#[derive(Debug, Clone, Copy)]
pub struct UnpackToHalf {
    /// What is unpacked.
    pub matrix: StoredMatrix,
    /// `[rows, columns]` f16.
    pub out: Slice,
}

impl UnpackToHalf {
    /// The launch.
    ///
    /// # Panics
    /// If the matrix is not packed.
    pub fn dispatch(&self) -> Dispatch {
        let &UnpackToHalf { matrix, out } = self;
        let records = matrix.columns / Packing::COLUMNS;
        launch(self.entry(), matrix.data, out, (matrix.rows, matrix.columns), records)
    }

    fn entry(&self) -> &'static str {
        Self::entry_of(packing(&self.matrix).expect("a packed matrix"))
    }

    /// The entry point for a packing.
    pub fn entry_of(packing: Packing) -> &'static str {
        packed!("unpack_", packing)
    }
}
