//! 16-bit matrices: up to 6 rows × 2 panels, or 3 × 4, of accumulators in registers, over a segment.

use std::arch::x86_64::*;

use super::planes::{broadcast, broadcast_f32};
use super::tile::keep_order;
use crate::cpu::matmul::int16::{Int16Cell, Int16Segment};
use crate::cpu::matmul::kernels::Lanes;

/// How far ahead of their use lines are asked for, in bytes.
const AHEAD: usize = 2048;
/// Most panels at once.
const PANELS: usize = 4;

/// Where a tile reads and writes.
struct Tile<const PANELS: usize> {
    cells: *const Int16Cell,
    words: [*const i16; PANELS],
    scales: [*const f32; PANELS],
    blocks: usize,
    sums: *mut Lanes,
    /// Rows from one panel's sums to the next's.
    stride: usize,
}

/// See [`Kernels::multiply_int16`](crate::cpu::matmul::kernels::Kernels::multiply_int16).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub fn multiply(cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
    assert!(panels.len() <= PANELS && sums.len() == cells.len() * panels.len());
    let blocks = panels.first().map_or(0, |panel| panel.words.len() / 512);
    assert!(blocks <= 8);
    assert!(panels.iter().all(|panel| panel.words.len() == blocks * 512 && panel.scales.len() == 16));
    // Few rows leave registers for more panels, whose memory is then read at once.
    let together = if cells.len() <= 3 { 4 } else { 2 };
    for (panels, sums) in panels.chunks(together).zip(sums.chunks_mut(together * cells.len())) {
        // SAFETY: the lengths asserted above.
        unsafe {
            match panels.len() {
                1 => by_rows::<1, 6>(cells, panels, blocks, sums),
                2 => by_rows::<2, 6>(cells, panels, blocks, sums),
                3 => by_rows::<3, 3>(cells, panels, blocks, sums),
                _ => by_rows::<4, 3>(cells, panels, blocks, sums),
            }
        }
    }
}

/// Goes through the rows, up to `MOST` at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn by_rows<const PANELS: usize, const MOST: usize>(
    cells: &[Int16Cell],
    panels: &[Int16Segment<'_>],
    blocks: usize,
    sums: &mut [Lanes],
) {
    for first in (0..cells.len()).step_by(MOST) {
        // SAFETY: `first + rows` cells exist, and as many sums of each panel.
        unsafe {
            let tile = Tile::<PANELS> {
                cells: cells.as_ptr().add(first),
                words: std::array::from_fn(|panel| panels[panel].words.as_ptr()),
                scales: std::array::from_fn(|panel| panels[panel].scales.as_ptr()),
                blocks,
                sums: sums.as_mut_ptr().add(first),
                stride: cells.len(),
            };
            match (cells.len() - first).min(MOST) {
                1 => run::<1, PANELS>(&tile),
                2 => run::<2, PANELS>(&tile),
                3 => run::<3, PANELS>(&tile),
                4 => run::<4, PANELS>(&tile),
                5 => run::<5, PANELS>(&tile),
                _ => run::<6, PANELS>(&tile),
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn run<const ROWS: usize, const PANELS: usize>(tile: &Tile<PANELS>) {
    // SAFETY: `ROWS` cells, `PANELS` panels of `blocks` blocks, and their sums exist.
    unsafe {
        let mut part = [[_mm512_setzero_ps(); PANELS]; ROWS];
        for block in 0..tile.blocks {
            let mut sums = [[_mm512_setzero_si512(); PANELS]; ROWS];
            for pair in block * 16..block * 16 + 16 {
                let mut words = [_mm512_setzero_si512(); PANELS];
                for (words, panel) in words.iter_mut().zip(tile.words) {
                    let vector = panel.add(pair * 32);
                    *words = _mm512_loadu_si512(vector.cast());
                    if ROWS <= 3 {
                        // A request for a line has no effect but on caches, whatever the address.
                        _mm_prefetch::<_MM_HINT_T0>(vector.cast::<i8>().wrapping_add(AHEAD));
                    }
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let values =
                        broadcast((&raw const (*tile.cells.add(row)).quants).cast::<i32>().add(pair));
                    for (sum, words) in sums.iter_mut().zip(words) {
                        *sum = _mm512_dpwssd_epi32(*sum, words, values);
                    }
                }
                keep_order();
            }
            for (part, sums) in part.iter_mut().zip(sums) {
                for (part, sum) in part.iter_mut().zip(sums) {
                    *part = _mm512_add_ps(*part, _mm512_cvtepi32_ps(sum));
                }
            }
        }
        for panel in 0..PANELS {
            let scale = _mm512_loadu_ps(tile.scales[panel]);
            for (row, part) in part.iter().enumerate() {
                let both = _mm512_mul_ps(scale, broadcast_f32(&raw const (*tile.cells.add(row)).scale));
                let sum = tile.sums.add(panel * tile.stride + row).cast::<f32>();
                _mm512_storeu_ps(sum, _mm512_fmadd_ps(part[panel], both, _mm512_loadu_ps(sum)));
            }
        }
    }
}
