//! The scalar twin for f32 matrices.
//!
//! A panel is `[column][16]`. Each output has one accumulator; columns are added in ascending order, each with one
//! rounding.

use super::format::PANEL_ROWS;
use super::input::F32Cell;
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
