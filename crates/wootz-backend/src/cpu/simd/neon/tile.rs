//! The int8 tile kernel: a few rows times one panel, with their integer sums in registers.
//!
//! A unit takes `V` registers of integer sums, a tile has up to `16 / V` units: half of the registers, which leaves
//! enough for the codes and activations of 8 columns. The float sums live in memory, which costs a load and a store
//! of each for every 32 columns. The float operations and their order are those of the scalar twin.

use super::base::*;
use super::dots::{Dots, Sums};
use super::load::{Rows, four, rows, signed_at, store_rows, words};
use super::source::Source;
use crate::cpu::matmul::format::{SEGMENT_BLOCKS, SEGMENT_COLUMNS, Scheme};
use crate::cpu::matmul::input::Int8Cell;
use crate::cpu::matmul::kernels::Lanes;

/// What a tile multiplies: `U` units of rows (the last may have only a first row, then given twice) at one segment.
#[derive(Clone, Copy)]
struct Tile<'a, D, S, const U: usize> {
    dots: D,
    source: S,
    cells: [[&'a Int8Cell; 2]; U],
    /// Which segment of the cells: 0 or 1.
    at: usize,
    /// Blocks of the segment.
    blocks: usize,
}

/// Adds to `sums` the products of segment `at` of `cells`, with `blocks` blocks in `source`: `cells` are the rows of
/// up to `U` units, `SCHEME` the number of the format's scheme.
#[inline(always)]
pub fn multiply<D: Dots<V>, S: Source, const SCHEME: u8, const V: usize, const U: usize>(
    dots: D,
    (source, at, blocks): (S, usize, usize),
    cells: &[Int8Cell],
    sums: &mut [Lanes],
) {
    let last = cells.len() - 1;
    let row = |unit: usize, second: usize| (unit * D::ROWS + second * (D::ROWS - 1)).min(last);
    let mut tile = Tile { dots, source, cells: [[&cells[0]; 2]; U], at, blocks };
    let mut floats = [[vdupq_n_f32(0.0); V]; U];
    for unit in 0..U {
        tile.cells[unit] = [&cells[row(unit, 0)], &cells[row(unit, 1)]];
        floats[unit] = dots.join([rows(&sums[row(unit, 0)]), rows(&sums[row(unit, 1)])]);
    }
    if SCHEME == Scheme::Centred32 as u8 {
        tile.blocks::<V, false>(&mut floats);
    } else if SCHEME == Scheme::Minimum32 as u8 {
        tile.blocks::<V, true>(&mut floats);
    } else if SCHEME == Scheme::Minimum256 as u8 {
        tile.segment_minima(&mut floats);
    } else {
        tile.segment_halves(&mut floats);
    }
    for (unit, floats) in floats.into_iter().enumerate() {
        let outputs = dots.split(floats);
        // A row given twice has the same sums twice.
        for second in (0..D::ROWS).rev() {
            store_rows(&mut sums[row(unit, second)], outputs[second]);
        }
    }
}

/// `floats = integers · factors + floats`.
#[inline(always)]
fn accumulate<const V: usize>(floats: &mut [float32x4_t; V], integers: [Sums; V], factors: [float32x4_t; V]) {
    for i in 0..V {
        floats[i] = vfmaq_f32(floats[i], vcvtq_f32_s32(integers[i]), factors[i]);
    }
}

impl<D: Copy, S: Source, const U: usize> Tile<'_, D, S, U> {
    /// The 16 columns from `column` on of a unit.
    #[inline(always)]
    fn activations<const V: usize>(&self, unit: usize, column: usize) -> D::Activations
    where
        D: Dots<V>,
    {
        let [first, second] = self.cells[unit];
        self.dots.activations([signed_at(&first.quants, column), signed_at(&second.quants, column)])
    }

    /// Adds the products of 16 columns to `sums`: half `HALF` (0 or 1) of block `block`.
    #[inline(always)]
    fn half<const V: usize, const HALF: usize>(&self, block: usize, sums: &mut [[Sums; V]; U])
    where
        D: Dots<V>,
    {
        let column = self.at * SEGMENT_COLUMNS + block * 32 + HALF * 16;
        let mut activations = [self.activations(0, column); U];
        for (unit, activations) in activations.iter_mut().enumerate().skip(1) {
            *activations = self.activations(unit, column);
        }
        let codes = self.source.codes(block, 2 * HALF);
        for unit in 0..U {
            self.dots.add::<0>(&mut sums[unit], codes, activations[unit]);
        }
        let codes = self.source.codes(block, 2 * HALF + 1);
        for unit in 0..U {
            self.dots.add::<1>(&mut sums[unit], codes, activations[unit]);
        }
    }

    /// The sums to begin with: what takes off the zero of the codes, from a row's `negated`; of half a block if
    /// `HALVES`.
    #[inline(always)]
    fn start<const V: usize, const HALVES: bool>(&self, group: usize) -> [[Sums; V]; U]
    where
        D: Dots<V>,
    {
        let mut sums = [[vdupq_n_s32(0); V]; U];
        if let Some(shift) = S::ZERO_SHIFT {
            for (sums, [a, b]) in sums.iter_mut().zip(self.cells) {
                let negated = if HALVES {
                    [a.negated_halves[group] >> shift, b.negated_halves[group] >> shift]
                } else {
                    [a.negated[group] >> shift, b.negated[group] >> shift]
                };
                *sums = [self.dots.splat_integer(negated); V];
            }
        }
        sums
    }

    /// The integer sums of a block.
    #[inline(always)]
    fn block<const V: usize>(&self, block: usize) -> [[Sums; V]; U]
    where
        D: Dots<V>,
    {
        let mut sums = self.start::<V, false>(self.at * SEGMENT_BLOCKS + block);
        self.half::<V, 0>(block, &mut sums);
        self.half::<V, 1>(block, &mut sums);
        sums
    }

    /// A scale each block; with minima to add if `MINIMA`.
    #[inline(always)]
    fn blocks<const V: usize, const MINIMA: bool>(&self, floats: &mut [[float32x4_t; V]; U])
    where
        D: Dots<V>,
    {
        for block in 0..self.blocks {
            let in_cell = self.at * SEGMENT_BLOCKS + block;
            let sums = self.block::<V>(block);
            let scale = self.dots.spread(self.source.scale(block));
            for unit in 0..U {
                let [a, b] = self.cells[unit];
                let factor = self.dots.splat([a.scales[in_cell], b.scales[in_cell]]);
                let mut factors = scale;
                for i in 0..V {
                    factors[i] = vmulq_f32(scale[i], factor);
                }
                accumulate(&mut floats[unit], sums[unit], factors);
            }
            if MINIMA {
                let minimum = self.dots.spread(self.source.minimum(block));
                for (floats, [a, b]) in floats.iter_mut().zip(self.cells) {
                    let weighted = self.dots.splat([a.weighted[in_cell], b.weighted[in_cell]]);
                    for i in 0..V {
                        floats[i] = vfmaq_f32(floats[i], minimum[i], weighted);
                    }
                }
            }
        }
    }

    /// A scale each block, an activation scale for the segment, and integer factors of the minima.
    #[inline(always)]
    fn segment_minima<const V: usize>(&self, floats: &mut [[float32x4_t; V]; U])
    where
        D: Dots<V>,
    {
        let mut parts = [[vdupq_n_f32(0.0); V]; U];
        for block in 0..SEGMENT_BLOCKS {
            let sums = self.block::<V>(block);
            let scale = self.dots.spread(self.source.scale(block));
            for unit in 0..U {
                accumulate(&mut parts[unit], sums[unit], scale);
            }
        }
        let minimum = self.dots.spread(self.source.minimum(0));
        for (part, [a, b]) in parts.iter_mut().zip(self.cells) {
            // The second row of a unit of one goes unused.
            let first = self.minima(a);
            let minima = self.dots.join([first, if D::ROWS == 2 { self.minima(b) } else { first }]);
            for i in 0..V {
                part[i] = vfmaq_f32(part[i], minima[i], minimum[i]);
            }
        }
        self.add_parts(parts, floats);
    }

    /// `Σ factor · Σx` over the blocks of the segment, as f32.
    #[inline(always)]
    fn minima(&self, cell: &Int8Cell) -> Rows {
        let of_blocks = words(&cell.sums.as_chunks::<SEGMENT_BLOCKS>().0[self.at]);
        let of_pairs = vreinterpretq_s32_s16(of_blocks);
        let of_pairs = [
            vdupq_laneq_s32::<0>(of_pairs),
            vdupq_laneq_s32::<1>(of_pairs),
            vdupq_laneq_s32::<2>(of_pairs),
            vdupq_laneq_s32::<3>(of_pairs),
        ];
        let (mut low, mut high) = ([vdupq_n_s32(0); 4], [vdupq_n_s32(0); 4]);
        for (pair, sums) in of_pairs.into_iter().enumerate() {
            let (factors, sums) = (self.source.factors(pair), vreinterpretq_s16_s32(sums));
            for i in 0..4 {
                low[i] = vmlal_s16(low[i], vget_low_s16(factors[i]), vget_low_s16(sums));
                high[i] = vmlal_high_s16(high[i], factors[i], sums);
            }
        }
        four!(i => vcvtq_f32_s32(vpaddq_s32(low[i], high[i])))
    }

    /// A scale each half block, an activation scale for the segment.
    #[inline(always)]
    fn segment_halves<const V: usize>(&self, floats: &mut [[float32x4_t; V]; U])
    where
        D: Dots<V>,
    {
        let mut parts = [[vdupq_n_f32(0.0); V]; U];
        for block in 0..SEGMENT_BLOCKS {
            let first = (self.at * SEGMENT_BLOCKS + block) * 2;
            let mut sums = self.start::<V, true>(first);
            self.half::<V, 0>(block, &mut sums);
            let scale = self.dots.spread(self.source.scale(2 * block));
            for unit in 0..U {
                accumulate(&mut parts[unit], sums[unit], scale);
            }
            let mut sums = self.start::<V, true>(first + 1);
            self.half::<V, 1>(block, &mut sums);
            let scale = self.dots.spread(self.source.scale(2 * block + 1));
            for unit in 0..U {
                accumulate(&mut parts[unit], sums[unit], scale);
            }
        }
        self.add_parts(parts, floats);
    }

    /// `floats += parts · activation scale of the segment`.
    #[inline(always)]
    fn add_parts<const V: usize>(&self, parts: [[float32x4_t; V]; U], floats: &mut [[float32x4_t; V]; U])
    where
        D: Dots<V>,
    {
        for unit in 0..U {
            let [a, b] = self.cells[unit];
            let scale = self.dots.splat([a.scales[self.at], b.scales[self.at]]);
            for i in 0..V {
                floats[unit][i] = vfmaq_f32(floats[unit][i], parts[unit][i], scale);
            }
        }
    }
}
