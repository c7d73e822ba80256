//! A product by the device's own library.

use arrayvec::ArrayVec;

use crate::device::{Dispatch, Slice};
use crate::kernels::copy::{Convert, DequantizeToHalf, Number};
use crate::kernels::matrix::StoredMatrix;
use crate::product::MatrixProduct;

/// `out[m] = matrix · input[m]`, both made f16 first. Inputs beyond 65504 become infinite, so this is for those who ask
/// for it, and for devices where it was measured to be faster.
#[derive(Debug, Clone, Copy)]
pub struct SystemGemm {
    /// Rows of input and out: at least 1.
    pub rows: usize,
    /// `[outputs, columns]`, of any format that kernels read. There is no bias.
    pub matrix: StoredMatrix,
    /// `[rows, columns]` f32.
    pub input: Slice,
    /// Of [`SystemGemm::scratch_bytes`], at a multiple of 16 bytes.
    pub scratch: Slice,
    /// `[rows, outputs]` f32.
    pub out: Slice,
}

impl SystemGemm {
    /// Bytes of scratch: the input and the matrix as f16.
    pub const fn scratch_bytes(rows: usize, outputs: usize, columns: usize) -> usize {
        Self::input_bytes(rows, columns) + 2 * outputs * columns
    }

    const fn input_bytes(rows: usize, columns: usize) -> usize {
        (2 * rows * columns).next_multiple_of(256)
    }

    /// The launches: two conversions, which don't depend on each other, and the product of what they wrote.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 3> {
        let &SystemGemm { rows, matrix, input, scratch, out } = self;
        let (outputs, inner) = (matrix.rows, matrix.columns);
        let left = scratch.part(0, 2 * rows * inner);
        let right = scratch.part(Self::input_bytes(rows, inner), 2 * outputs * inner);
        let (from, to) = (Number::F32, Number::F16);
        ArrayVec::from_iter([
            Convert { from, to, count: rows * inner, input, out: left }.dispatch(),
            DequantizeToHalf { matrix, out: right }.dispatch(),
            MatrixProduct { rows, columns: outputs, inner, left, right, out }.dispatch(),
        ])
    }
}
