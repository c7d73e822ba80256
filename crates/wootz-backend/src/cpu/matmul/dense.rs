//! The scalar twin for f32 matrices, and panels of f32 decoded from any type.
//!
//! A panel is `[column][16]`. Each output has one accumulator; columns are added in ascending order, each with one
//! rounding.

use std::ops::Range;

use wootz_weights::tensor::Tensor;

use super::format::PANEL_ROWS;
use super::input::{DENSE_CHUNK, F32Cell};
use super::kernels::Lanes;

/// Adds the products of a chunk of f32 columns.
pub fn multiply_f32(cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
    for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len())) {
        for (cell, sums) in cells.iter().zip(sums) {
            for (weights, value) in panel.chunks_exact(PANEL_ROWS).zip(cell.values) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = weight.mul_add(value, *sum);
                }
            }
        }
    }
}

/// Decodes columns `columns` of the 16 rows of panel `panel` to `[column][16]`.
pub fn decode_panel(tensor: &Tensor, panel: usize, columns: Range<usize>, out: &mut [f32]) {
    let mut row_values = [0.0; DENSE_CHUNK];
    let row_values = &mut row_values[..columns.len()];
    out.fill(0.0);
    let block = |columns: usize| tensor.kind.row_bytes(columns).expect("chunks are whole blocks");
    for lane in 0..PANEL_ROWS.min(tensor.rows() - panel * PANEL_ROWS) {
        let bytes = tensor.row(panel * PANEL_ROWS + lane);
        tensor.kind.dequantize(&bytes[block(columns.start)..][..block(columns.len())], row_values);
        for (values, value) in out.chunks_exact_mut(PANEL_ROWS).zip(&*row_values) {
            values[lane] = *value;
        }
    }
}
