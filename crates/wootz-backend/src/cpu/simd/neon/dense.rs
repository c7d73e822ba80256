//! f32 matrices.

use super::base::*;
use super::load::{Rows, floats, rows, store_rows};
use super::tiling::{TileKernel, tiles};
use crate::cpu::matmul::format::PANEL_ROWS;
use crate::cpu::matmul::input::F32Cell;
use crate::cpu::matmul::kernels::Lanes;

/// Columns whose activations are loaded at once.
const COLUMNS: usize = 4;

/// See [`Kernels::multiply_f32`](crate::cpu::matmul::kernels::Kernels::multiply_f32).
pub fn multiply(cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
    tiles(&mut Dense { cells, panels, sums }, cells.len(), panels.len());
}

struct Dense<'a> {
    cells: &'a [F32Cell],
    panels: &'a [&'a [f32]],
    sums: &'a mut [Lanes],
}

impl TileKernel for Dense<'_> {
    fn run<const R: usize, const P: usize>(&mut self, row: usize, panel: usize) {
        let cells: [&[f32]; R] = std::array::from_fn(|r| &self.cells[row + r].values[..]);
        let columns = self.panels[panel].len() / PANEL_ROWS;
        let panels: [&[f32]; P] = std::array::from_fn(|p| &self.panels[panel + p][..columns * PANEL_ROWS]);
        let place = |r: usize, p: usize| (panel + p) * self.cells.len() + row + r;
        let mut sums: [[Rows; P]; R] =
            std::array::from_fn(|r| std::array::from_fn(|p| rows(&self.sums[place(r, p)])));
        let whole = columns / COLUMNS * COLUMNS;
        for column in (0..whole).step_by(COLUMNS) {
            let mut activations = [vdupq_n_f32(0.0); R];
            for row in 0..R {
                activations[row] = floats(cells[row][column..column + COLUMNS].try_into().expect("4 values"));
            }
            let mut weights = panels;
            for weights in &mut weights {
                *weights = &weights[column * PANEL_ROWS..(column + COLUMNS) * PANEL_ROWS];
            }
            add::<R, P, 0>(activations, weights, &mut sums);
            add::<R, P, 1>(activations, weights, &mut sums);
            add::<R, P, 2>(activations, weights, &mut sums);
            add::<R, P, 3>(activations, weights, &mut sums);
        }
        for column in whole..columns {
            let activations = cells.map(|cell| vdupq_n_f32(cell[column]));
            add::<R, P, 0>(activations, panels.map(|panel| &panel[column * PANEL_ROWS..]), &mut sums);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (p, sums) in sums.into_iter().enumerate() {
                store_rows(&mut self.sums[(panel + p) * self.cells.len() + row + r], sums);
            }
        }
    }
}

/// Adds the products of column `LANE` of four.
#[inline(always)]
fn add<const R: usize, const P: usize, const LANE: i32>(
    activations: [float32x4_t; R],
    weights: [&[f32]; P],
    sums: &mut [[Rows; P]; R],
) {
    for panel in 0..P {
        let weights = rows(&weights[panel].as_chunks().0[LANE as usize]);
        for row in 0..R {
            for i in 0..4 {
                let sum = &mut sums[row][panel][i];
                *sum = vfmaq_laneq_f32::<LANE>(*sum, weights[i], activations[row]);
            }
        }
    }
}
