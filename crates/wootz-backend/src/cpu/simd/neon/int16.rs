//! 16-bit matrices.
//!
//! A register holds both columns of a pair for four panel rows. Two registers are sorted by column, which four
//! instructions do for all 16 rows, so that a multiply-add by one activation serves four rows, without the pairwise
//! sums (and twice the registers of sums) that the layout would otherwise need.

use super::base::*;
use super::load::{Rows, four, rows, store_rows, words};
use super::tiling::{TileKernel, tiles};
use crate::cpu::matmul::format::{BLOCK_COLUMNS, PANEL_ROWS};
use crate::cpu::matmul::int16::{Int16Cell, Int16Segment};
use crate::cpu::matmul::kernels::Lanes;

/// 16-bit words of a block of a panel.
const BLOCK_WORDS: usize = PANEL_ROWS * BLOCK_COLUMNS;
/// Columns whose activations are loaded at once.
const COLUMNS: usize = 8;

/// The exact sums of a tile's block.
type Sums<const R: usize, const P: usize> = [[[int32x4_t; 4]; P]; R];

/// See [`Kernels::multiply_int16`](crate::cpu::matmul::kernels::Kernels::multiply_int16).
pub fn multiply(cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
    tiles(&mut Int16 { cells, panels, sums }, cells.len(), panels.len());
}

struct Int16<'a> {
    cells: &'a [Int16Cell],
    panels: &'a [Int16Segment<'a>],
    sums: &'a mut [Lanes],
}

impl TileKernel for Int16<'_> {
    fn run<const R: usize, const P: usize>(&mut self, row: usize, panel: usize) {
        let cells: [&Int16Cell; R] = std::array::from_fn(|r| &self.cells[row + r]);
        let panels: [&Int16Segment<'_>; P] = std::array::from_fn(|p| &self.panels[panel + p]);
        let mut parts: [[Rows; P]; R] = [[[vdupq_n_f32(0.0); 4]; P]; R];
        for block in 0..panels[0].words.len() / BLOCK_WORDS {
            let values = cells.map(|cell| &cell.quants[block * BLOCK_COLUMNS..(block + 1) * BLOCK_COLUMNS]);
            let words = panels.map(|panel| &panel.words[block * BLOCK_WORDS..(block + 1) * BLOCK_WORDS]);
            let exact = block_sums(values, words);
            for (parts, exact) in parts.as_flattened_mut().iter_mut().zip(exact.as_flattened()) {
                for i in 0..4 {
                    parts[i] = vaddq_f32(parts[i], vcvtq_f32_s32(exact[i]));
                }
            }
        }
        for (r, parts) in parts.into_iter().enumerate() {
            for (p, part) in parts.into_iter().enumerate() {
                let scales = rows(panels[p].scales.first_chunk().expect("16 scales"));
                let scale = vdupq_n_f32(cells[r].scale);
                let lanes = &mut self.sums[(panel + p) * self.cells.len() + row + r];
                let before = rows(lanes);
                let after = four!(i => vfmaq_f32(before[i], part[i], vmulq_f32(scales[i], scale)));
                store_rows(lanes, after);
            }
        }
    }
}

/// The products of a block, summed.
#[inline(always)]
fn block_sums<const R: usize, const P: usize>(values: [&[i16]; R], panels: [&[i16]; P]) -> Sums<R, P> {
    let mut sums = [[[vdupq_n_s32(0); 4]; P]; R];
    for step in 0..BLOCK_COLUMNS / COLUMNS {
        let mut eight = [words(&values[0].as_chunks().0[step]); R];
        for row in 1..R {
            eight[row] = words(&values[row].as_chunks().0[step]);
        }
        let mut pairs = panels;
        for pairs in &mut pairs {
            *pairs = &pairs[step * COLUMNS * PANEL_ROWS..(step + 1) * COLUMNS * PANEL_ROWS];
        }
        add::<R, P, 0, 1>(eight, pairs, &mut sums);
        add::<R, P, 2, 3>(eight, pairs, &mut sums);
        add::<R, P, 4, 5>(eight, pairs, &mut sums);
        add::<R, P, 6, 7>(eight, pairs, &mut sums);
    }
    sums
}

/// Adds the products of a pair of columns, `EVEN` and `ODD` of eight.
#[inline(always)]
fn add<const R: usize, const P: usize, const EVEN: i32, const ODD: i32>(
    values: [int16x8_t; R],
    panels: [&[i16]; P],
    sums: &mut Sums<R, P>,
) {
    for panel in 0..P {
        let eights = &panels[panel].as_chunks::<8>().0[4 * (EVEN as usize / 2)..][..4];
        for half in 0..2 {
            let (a, b) = (words(&eights[2 * half]), words(&eights[2 * half + 1]));
            let (even, odd) = (vuzp1q_s16(a, b), vuzp2q_s16(a, b));
            for row in 0..R {
                let sums = &mut sums[row][panel][2 * half..2 * half + 2];
                sums[0] = vmlal_laneq_s16::<EVEN>(sums[0], vget_low_s16(even), values[row]);
                sums[1] = vmlal_high_laneq_s16::<EVEN>(sums[1], even, values[row]);
                sums[0] = vmlal_laneq_s16::<ODD>(sums[0], vget_low_s16(odd), values[row]);
                sums[1] = vmlal_high_laneq_s16::<ODD>(sums[1], odd, values[row]);
            }
        }
    }
}
