//! The int8 tile kernel: up to 2 rows of one panel in registers, over a chunk of unpacked columns.
//!
//! The 16-bit sums of two products must not saturate. Codes of formats with minima are small. Of the centred ones the
//! zero is taken off, the sign moved to the activation: 128 · 127 · 2 fits.

use std::arch::x86_64::*;

use crate::cpu::matmul::format::Scheme;
use crate::cpu::matmul::input::Int8Cell;
use crate::cpu::matmul::kernels::Lanes;
use crate::cpu::matmul::unpack::UnpackedPanel;

/// Rows of a tile.
const ROWS: usize = 2;
/// 16 lanes of f32.
type Floats = [__m256; 2];
/// 16 lanes of i32.
type Integers = [__m256i; 2];

/// 16 f32 as two vectors.
#[target_feature(enable = "avx2")]
#[inline]
pub fn load(from: &[f32; 16]) -> Floats {
    // SAFETY: 16 f32 are two vectors.
    unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
}

/// Two vectors as 16 f32.
#[target_feature(enable = "avx2")]
#[inline]
pub fn store(to: &mut [f32; 16], values: Floats) {
    // SAFETY: 16 f32 are two vectors.
    unsafe {
        _mm256_storeu_ps(to.as_mut_ptr(), values[0]);
        _mm256_storeu_ps(to.as_mut_ptr().add(8), values[1]);
    }
}

/// See [`Kernels::multiply`](crate::cpu::matmul::kernels::Kernels::multiply).
#[target_feature(enable = "avx2,fma")]
pub fn multiply(
    scheme: Scheme,
    cells: &[Int8Cell],
    panels: &[UnpackedPanel],
    blocks: usize,
    sums: &mut [Lanes],
) {
    assert_eq!(sums.len(), cells.len() * panels.len());
    for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len().max(1))) {
        for (cells, sums) in cells.chunks(ROWS).zip(sums.chunks_mut(ROWS)) {
            match cells.len() {
                1 => by_scheme::<1>(scheme, cells, panel, blocks, sums),
                _ => by_scheme::<2>(scheme, cells, panel, blocks, sums),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn by_scheme<const ROWS: usize>(
    scheme: Scheme,
    cells: &[Int8Cell],
    panel: &UnpackedPanel,
    blocks: usize,
    sums: &mut [Lanes],
) {
    let cells = cells.first_chunk::<ROWS>().expect("as many cells as rows");
    let mut acc: [Floats; ROWS] = std::array::from_fn(|row| load(&sums[row]));
    match scheme {
        Scheme::Centred32 => block_scales::<false, ROWS>(cells, panel, blocks, &mut acc),
        Scheme::Minimum32 => block_scales::<true, ROWS>(cells, panel, blocks, &mut acc),
        Scheme::Minimum256 | Scheme::CentredHalves256 => {
            for segment in 0..blocks / 8 {
                let mut part = [[_mm256_setzero_ps(); 2]; ROWS];
                if scheme == Scheme::CentredHalves256 {
                    for half in segment * 16..segment * 16 + 16 {
                        let exact = dots::<true, 4, ROWS>(cells, panel, half * 4);
                        scale_into(exact, &panel.scales[half], &mut part);
                    }
                } else {
                    for block in segment * 8..segment * 8 + 8 {
                        let exact = dots::<false, 8, ROWS>(cells, panel, block * 8);
                        scale_into(exact, &panel.scales[block], &mut part);
                    }
                    scale_into(minima(cells, panel, segment), &panel.minima[segment], &mut part);
                }
                for (row, (acc, part)) in acc.iter_mut().zip(part).enumerate() {
                    let scale = _mm256_set1_ps(cells[row].scales[segment]);
                    for (acc, part) in acc.iter_mut().zip(part) {
                        *acc = _mm256_fmadd_ps(part, scale, *acc);
                    }
                }
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        store(sums, acc);
    }
}

/// The two vectors of a quad of codes, or of a pair of factors.
#[target_feature(enable = "avx2")]
#[inline]
fn vectors(bytes: &[u8; 64]) -> Integers {
    // SAFETY: 64 bytes are two vectors.
    unsafe {
        let start = bytes.as_ptr().cast::<__m256i>();
        [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))]
    }
}

/// The sums of `QUADS` quads from quad `quad` (counted from the chunk's start) on.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn dots<const CENTRED: bool, const QUADS: usize, const ROWS: usize>(
    cells: &[Int8Cell; ROWS],
    panel: &UnpackedPanel,
    quad: usize,
) -> [Integers; ROWS] {
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for index in quad..quad + QUADS {
        let codes = vectors(&panel.quads[index / 8][index % 8]);
        for (cell, sums) in cells.iter().zip(&mut sums) {
            let words: &[i32] = bytemuck::cast_slice(&cell.quants);
            let values = _mm256_set1_epi32(words[index]);
            for (sum, codes) in sums.iter_mut().zip(codes) {
                let pairs = if CENTRED {
                    let weights = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
                    _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(values, weights))
                } else {
                    _mm256_maddubs_epi16(codes, values)
                };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
    }
    sums
}

/// `part += exact · scales`.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn scale_into<const ROWS: usize>(exact: [Integers; ROWS], scales: &[f32; 16], part: &mut [Floats; ROWS]) {
    let scales = load(scales);
    for (part, exact) in part.iter_mut().zip(exact) {
        for half in 0..2 {
            part[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact[half]), scales[half], part[half]);
        }
    }
}

/// `Σ_blocks factor · Σx` of a segment.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn minima<const ROWS: usize>(
    cells: &[Int8Cell; ROWS],
    panel: &UnpackedPanel,
    segment: usize,
) -> [Integers; ROWS] {
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for pair in segment * 4..segment * 4 + 4 {
        let factors = vectors(bytemuck::cast_ref(&panel.factors[pair]));
        for (cell, sums) in cells.iter().zip(&mut sums) {
            let words: &[i32] = bytemuck::cast_slice(&cell.sums);
            let values = _mm256_set1_epi32(words[pair]);
            for (sum, factors) in sums.iter_mut().zip(factors) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(factors, values));
            }
        }
    }
    sums
}

/// A scale and an activation scale each block.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn block_scales<const MINIMUM: bool, const ROWS: usize>(
    cells: &[Int8Cell; ROWS],
    panel: &UnpackedPanel,
    blocks: usize,
    acc: &mut [Floats; ROWS],
) {
    for block in 0..blocks {
        let exact = if MINIMUM {
            dots::<false, 8, ROWS>(cells, panel, block * 8)
        } else {
            dots::<true, 8, ROWS>(cells, panel, block * 8)
        };
        let scales = load(&panel.scales[block]);
        for ((acc, exact), cell) in acc.iter_mut().zip(exact).zip(cells) {
            let activation = _mm256_set1_ps(cell.scales[block]);
            for half in 0..2 {
                let both = _mm256_mul_ps(scales[half], activation);
                acc[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact[half]), both, acc[half]);
            }
            if MINIMUM {
                let (minimum, weighted) = (load(&panel.minima[block]), _mm256_set1_ps(cell.weighted[block]));
                for half in 0..2 {
                    acc[half] = _mm256_fmadd_ps(minimum[half], weighted, acc[half]);
                }
            }
        }
    }
}
