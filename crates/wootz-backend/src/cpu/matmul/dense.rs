//! The scalar twins for f32 and bf16 matrices.
//!
//! A panel is `[column][16]` f32, or `[column pair][16][2]` bf16. Each output has one accumulator; columns are added in
//! ascending order (bf16: of each pair the odd one first, as the x86 instruction does), each with one rounding.

use super::format::PANEL_ROWS;
use super::input::{Bf16Cell, F32Cell};
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

/// The f32 that a bf16 with these bits stands for.
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Adds the products of a chunk of bf16 column pairs.
pub fn multiply_bf16(cells: &[Bf16Cell], panels: &[&[u16]], sums: &mut [Lanes]) {
    for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len())) {
        for (cell, sums) in cells.iter().zip(sums) {
            for (weights, values) in panel.chunks_exact(2 * PANEL_ROWS).zip(cell.values.chunks_exact(2)) {
                for (sum, pair) in sums.iter_mut().zip(weights.chunks_exact(2)) {
                    *sum = widen(pair[1]).mul_add(widen(values[1]), *sum);
                    *sum = widen(pair[0]).mul_add(widen(values[0]), *sum);
                }
            }
        }
    }
}
