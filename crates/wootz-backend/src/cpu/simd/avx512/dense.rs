//! f32 matrices: up to 6 rows × 4 panels of accumulators in registers.

use std::arch::x86_64::*;

use super::planes::broadcast_f32;
use crate::cpu::matmul::input::F32Cell;
use crate::cpu::matmul::kernels::Lanes;

/// How far ahead of their use lines are asked for, in bytes.
const AHEAD: usize = 2048;
/// Rows of a tile.
const ROWS: usize = 6;
/// Most panels at once.
const PANELS: usize = 4;

/// Where a tile reads and writes.
struct Tile {
    cells: *const F32Cell,
    panels: [*const f32; PANELS],
    columns: usize,
    sums: *mut Lanes,
    /// Rows from one panel's sums to the next's.
    stride: usize,
}

/// See [`Kernels::multiply_f32`](crate::cpu::matmul::kernels::Kernels::multiply_f32).
#[target_feature(enable = "avx512f")]
pub fn multiply_f32(cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
    assert!(!panels.is_empty() && panels.len() <= PANELS && sums.len() == cells.len() * panels.len());
    let columns = panels[0].len() / 16;
    assert!(columns <= 256 && panels.iter().all(|panel| panel.len() == columns * 16));
    for first in (0..cells.len()).step_by(ROWS) {
        let rows = (cells.len() - first).min(ROWS);
        // SAFETY: `first + rows` cells exist, as many sums of each panel, and `columns` columns of all.
        unsafe {
            let tile = Tile {
                cells: cells.as_ptr().add(first),
                panels: std::array::from_fn(|panel| panels[panel.min(panels.len() - 1)].as_ptr()),
                columns,
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

#[target_feature(enable = "avx512f")]
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

#[target_feature(enable = "avx512f")]
unsafe fn run<const ROWS: usize, const PANELS: usize>(tile: &Tile) {
    // SAFETY: `ROWS` cells, `PANELS` panels of `columns` columns and their sums exist.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); PANELS]; ROWS];
        for (row, acc) in acc.iter_mut().enumerate() {
            for (panel, acc) in acc.iter_mut().enumerate() {
                *acc = _mm512_loadu_ps(tile.sums.add(panel * tile.stride + row).cast());
            }
        }
        for column in 0..tile.columns {
            let mut weights = [_mm512_setzero_ps(); PANELS];
            for (weights, panel) in weights.iter_mut().zip(tile.panels) {
                let vector = panel.add(column * 16);
                *weights = _mm512_loadu_ps(vector);
                if ROWS < 4 {
                    // A request for a line has no effect but on caches, whatever the address.
                    _mm_prefetch::<_MM_HINT_T0>(vector.cast::<i8>().wrapping_add(AHEAD));
                }
            }
            for (row, acc) in acc.iter_mut().enumerate() {
                let value =
                    broadcast_f32((&raw const (*tile.cells.add(row)).values).cast::<f32>().add(column));
                for (acc, weights) in acc.iter_mut().zip(weights) {
                    *acc = _mm512_fmadd_ps(weights, value, *acc);
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
