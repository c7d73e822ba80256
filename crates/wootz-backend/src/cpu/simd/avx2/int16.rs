//! 16-bit matrices: up to 2 rows of one panel in registers.

use std::arch::x86_64::*;

use super::tile::{load, store};
use crate::cpu::matmul::int16::{Int16Cell, Int16Segment};
use crate::cpu::matmul::kernels::Lanes;

/// Rows of a tile.
const ROWS: usize = 2;
/// Words of a block of a panel: 16 column pairs of 16 rows.
const BLOCK_WORDS: usize = 512;

/// See [`Kernels::multiply_int16`](crate::cpu::matmul::kernels::Kernels::multiply_int16).
#[target_feature(enable = "avx2,fma")]
pub fn multiply(cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
    assert_eq!(sums.len(), cells.len() * panels.len());
    for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len().max(1))) {
        for (cells, sums) in cells.chunks(ROWS).zip(sums.chunks_mut(ROWS)) {
            match cells.len() {
                1 => run::<1>(cells, *panel, sums),
                _ => run::<2>(cells, *panel, sums),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn run<const ROWS: usize>(cells: &[Int16Cell], panel: Int16Segment<'_>, sums: &mut [Lanes]) {
    assert!(cells.len() == ROWS && sums.len() == ROWS);
    let mut part = [[_mm256_setzero_ps(); 2]; ROWS];
    for (block, words) in panel.words.chunks_exact(BLOCK_WORDS).enumerate() {
        let mut exact = [[_mm256_setzero_si256(); 2]; ROWS];
        for (pair, words) in words.as_chunks::<32>().0.iter().enumerate() {
            // SAFETY: 32 words are two vectors.
            let words = unsafe {
                let start = words.as_ptr().cast::<__m256i>();
                [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))]
            };
            for (row, exact) in exact.iter_mut().enumerate() {
                let quants: &[i32] = bytemuck::cast_slice(&cells[row].quants);
                let values = _mm256_set1_epi32(quants[block * 16 + pair]);
                for (exact, words) in exact.iter_mut().zip(words) {
                    *exact = _mm256_add_epi32(*exact, _mm256_madd_epi16(words, values));
                }
            }
        }
        for (part, exact) in part.iter_mut().zip(exact) {
            for (part, exact) in part.iter_mut().zip(exact) {
                *part = _mm256_add_ps(*part, _mm256_cvtepi32_ps(exact));
            }
        }
    }
    let scales = load(panel.scales.first_chunk().expect("16 scales"));
    for ((part, sums), cell) in part.into_iter().zip(sums).zip(cells) {
        let (mut acc, activation) = (load(sums), _mm256_set1_ps(cell.scale));
        for half in 0..2 {
            acc[half] = _mm256_fmadd_ps(part[half], _mm256_mul_ps(scales[half], activation), acc[half]);
        }
        store(sums, acc);
    }
}
