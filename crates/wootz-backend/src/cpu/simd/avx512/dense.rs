//! f32 and bf16 matrices: up to 6 rows × 4 panels of accumulators in registers.
//!
//! One text for three kernels, which differ in what a vector holds and how it is multiplied; a macro, since the
//! instructions that a function may use are part of its declaration.

use std::arch::x86_64::*;

use super::planes::{broadcast, broadcast_f32};
use crate::cpu::matmul::input::{Bf16Cell, F32Cell};
use crate::cpu::matmul::kernels::Lanes;

/// How far ahead of their use lines are asked for, in bytes.
const AHEAD: usize = 2048;
/// Rows of a tile.
const ROWS: usize = 6;
/// Most panels at once.
const PANELS: usize = 4;

/// `$name(cells, panels, sums)` for cells of `$cell`; a panel vector is `$width` elements of `$element`, multiplied by
/// `$multiply(sum, weights, pointer to the cell's value)`.
macro_rules! dense_kernel {
    ($name:ident, $features:literal, $cell:ty, $element:ty, $width:literal, $multiply:ident) => {
        #[doc = concat!("Adds to `sums` the products of a chunk of columns, ", stringify!($width), " elements a vector.")]
        #[target_feature(enable = $features)]
        pub fn $name(cells: &[$cell], panels: &[&[$element]], sums: &mut [Lanes]) {
            /// Where a tile reads and writes; `stride` is rows from one panel's sums to the next's.
            struct Tile {
                cells: *const $cell,
                panels: [*const $element; PANELS],
                vectors: usize,
                sums: *mut Lanes,
                stride: usize,
            }

            #[target_feature(enable = $features)]
            unsafe fn by_rows<const PANELS: usize>(tile: &Tile, rows: usize) {
                // SAFETY: passed on.
                unsafe {
                    match rows {
                        1 => run::<1, PANELS>(tile),
                        2 => run::<2, PANELS>(tile),
                        3 => run::<3, PANELS>(tile),
                        4 => run::<4, PANELS>(tile),
                        5 => run::<5, PANELS>(tile),
                        _ => run::<6, PANELS>(tile),
                    }
                }
            }

            #[target_feature(enable = $features)]
            unsafe fn run<const ROWS: usize, const PANELS: usize>(tile: &Tile) {
                // SAFETY: `ROWS` cells, `PANELS` panels of `vectors` vectors and their sums exist.
                unsafe {
                    let mut acc = [[_mm512_setzero_ps(); PANELS]; ROWS];
                    for (row, acc) in acc.iter_mut().enumerate() {
                        for (panel, acc) in acc.iter_mut().enumerate() {
                            *acc = _mm512_loadu_ps(tile.sums.add(panel * tile.stride + row).cast());
                        }
                    }
                    for index in 0..tile.vectors {
                        let mut weights = [_mm512_setzero_si512(); PANELS];
                        for (weights, panel) in weights.iter_mut().zip(tile.panels) {
                            let vector = panel.add(index * $width);
                            *weights = _mm512_loadu_si512(vector.cast());
                            if ROWS < 4 {
                                // A request for a line has no effect but on caches, whatever the address.
                                _mm_prefetch::<_MM_HINT_T0>(vector.cast::<i8>().wrapping_add(AHEAD));
                            }
                        }
                        for (row, acc) in acc.iter_mut().enumerate() {
                            let value = (&raw const (*tile.cells.add(row)).values).cast::<u32>().add(index);
                            for (acc, weights) in acc.iter_mut().zip(weights) {
                                *acc = $multiply(*acc, weights, value);
                            }
                        }
                    }
                    for (row, acc) in acc.iter().enumerate() {
                        for (panel, acc) in acc.iter().enumerate() {
                            _mm512_storeu_ps(tile.sums.add(panel * tile.stride + row).cast(), *acc);
                        }
                    }
                }
            }

            assert!(!panels.is_empty() && panels.len() <= PANELS && sums.len() == cells.len() * panels.len());
            let vectors = panels[0].len() / $width;
            assert!(vectors * 4 <= size_of::<$cell>() && panels.iter().all(|panel| panel.len() == vectors * $width));
            for first in (0..cells.len()).step_by(ROWS) {
                let rows = (cells.len() - first).min(ROWS);
                // SAFETY: `first + rows` cells exist, as many sums of each panel, and `vectors` vectors of all.
                unsafe {
                    let tile = Tile {
                        cells: cells.as_ptr().add(first),
                        panels: std::array::from_fn(|panel| panels[panel.min(panels.len() - 1)].as_ptr()),
                        vectors,
                        sums: sums.as_mut_ptr().add(first),
                        stride: cells.len(),
                    };
                    match panels.len() {
                        1 => by_rows::<1>(&tile, rows),
                        2 => by_rows::<2>(&tile, rows),
                        3 => by_rows::<3>(&tile, rows),
                        _ => by_rows::<4>(&tile, rows),
                    }
                }
            }
        }
    };
}

dense_kernel!(multiply_f32, "avx512f", F32Cell, f32, 16, multiply_single);
dense_kernel!(multiply_bf16, "avx512f,avx512bf16", Bf16Cell, u16, 32, multiply_pairs);
dense_kernel!(multiply_bf16_widened, "avx512f", Bf16Cell, u16, 32, multiply_widened);

/// One f32 column.
///
/// # Safety
/// `value` must be readable.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn multiply_single(sum: __m512, weights: __m512i, value: *const u32) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_fmadd_ps(_mm512_castsi512_ps(weights), unsafe { broadcast_f32(value.cast()) }, sum)
}

/// Two bf16 columns: the instruction adds the odd one, then the even one.
///
/// # Safety
/// `value` must be readable.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn multiply_pairs(sum: __m512, weights: __m512i, value: *const u32) -> __m512 {
    // SAFETY: the caller's promise; a vector of bf16 is 64 bytes of any value.
    unsafe {
        let value = broadcast(value);
        _mm512_dpbf16_ps(sum, std::mem::transmute::<__m512i, __m512bh>(weights), std::mem::transmute::<__m512i, __m512bh>(value))
    }
}

/// Two bf16 columns by way of f32.
///
/// # Safety
/// `value` must be readable.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn multiply_widened(sum: __m512, weights: __m512i, value: *const u32) -> __m512 {
    // SAFETY: the caller's promise.
    let values = unsafe { broadcast(value) };
    let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let odd = |pairs| _mm512_castsi512_ps(_mm512_and_si512(pairs, high));
    let even = |pairs| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
    _mm512_fmadd_ps(even(weights), even(values), _mm512_fmadd_ps(odd(weights), odd(values), sum))
}
