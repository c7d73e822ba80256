//! f32 matrices: up to 4 rows of one panel in registers.

use std::arch::x86_64::*;

use crate::cpu::matmul::input::F32Cell;
use crate::cpu::matmul::kernels::Lanes;

/// Rows of a tile.
const ROWS: usize = 4;

/// See [`Kernels::multiply_f32`](crate::cpu::matmul::kernels::Kernels::multiply_f32).
#[target_feature(enable = "avx2,fma")]
pub fn multiply_f32(cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
    assert_eq!(sums.len(), cells.len() * panels.len());
    for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len().max(1))) {
        for (cells, sums) in cells.chunks(ROWS).zip(sums.chunks_mut(ROWS)) {
            match cells.len() {
                1 => run::<1>(cells, panel, sums),
                2 => run::<2>(cells, panel, sums),
                3 => run::<3>(cells, panel, sums),
                _ => run::<4>(cells, panel, sums),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn run<const ROWS: usize>(cells: &[F32Cell], panel: &[f32], sums: &mut [Lanes]) {
    assert!(cells.len() == ROWS && sums.len() == ROWS && panel.len() <= 16 * 256);
    let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
    for (acc, sums) in acc.iter_mut().zip(&*sums) {
        *acc = super::tile::load(sums);
    }
    for (column, weights) in panel.as_chunks::<16>().0.iter().enumerate() {
        let weights = super::tile::load(weights);
        for (row, acc) in acc.iter_mut().enumerate() {
            let value = _mm256_set1_ps(cells[row].values[column]);
            for (acc, weights) in acc.iter_mut().zip(weights) {
                *acc = _mm256_fmadd_ps(weights, value, *acc);
            }
        }
    }
    for (acc, sums) in acc.into_iter().zip(sums) {
        super::tile::store(sums, acc);
    }
}
