//! Quantising activations.

use std::arch::x86_64::*;

use crate::cpu::matmul::input::{InputKind, Int8Cell, SMALLEST};
use crate::cpu::matmul::int16::{self, Int16Cell, LARGEST_VALUE};

/// See [`Kernels::quantize`](crate::cpu::matmul::kernels::Kernels::quantize).
#[target_feature(enable = "avx2,fma")]
pub fn quantize(kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
    let group = if kind == InputKind::Int8Block32 { 32 } else { 256 };
    assert!(values.len() <= cell.quants.len() && values.len().is_multiple_of(group));
    for (index, part) in values.chunks_exact(group).enumerate() {
        let largest = largest(part);
        cell.scales[index] = largest / 127.0;
        let inverse = _mm256_set1_ps(if largest < SMALLEST { 0.0 } else { 127.0 / largest });
        for (half, part) in part.as_chunks::<16>().0.iter().enumerate() {
            let half = index * (group / 16) + half;
            let words = words(part, inverse);
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            // SAFETY: 16 quants of the half block.
            unsafe { _mm_storeu_si128(cell.quants[half * 16..half * 16 + 16].as_mut_ptr().cast(), bytes) };
            let fours = _mm256_madd_epi16(words, _mm256_set1_epi16(1));
            let twos = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
            let ones = _mm_add_epi32(twos, _mm_shuffle_epi32::<0b01_00_11_10>(twos));
            let sum = _mm_cvtsi128_si32(_mm_add_epi32(ones, _mm_shuffle_epi32::<0b10_11_00_01>(ones)));
            cell.negated_halves[half] = -128 * sum;
            cell.sum_halves[half] = sum as i16;
        }
    }
    for block in 0..values.len() / 32 {
        cell.negated[block] = cell.negated_halves[2 * block] + cell.negated_halves[2 * block + 1];
        cell.sums[block] = cell.sum_halves[2 * block] + cell.sum_halves[2 * block + 1];
        cell.weighted[block] = cell.scales[block * 32 / group] * f32::from(cell.sums[block]);
    }
}

/// See [`Kernels::quantize_int16`](crate::cpu::matmul::kernels::Kernels::quantize_int16).
#[target_feature(enable = "avx2,fma")]
pub fn quantize_int16(values: &[f32], cell: &mut Int16Cell) {
    if !values.len().is_multiple_of(32) {
        return int16::quantize(values, cell);
    }
    assert!(values.len() <= cell.quants.len());
    let largest = largest(values);
    cell.scale = largest / LARGEST_VALUE;
    let inverse = _mm256_set1_ps(if largest < SMALLEST { 0.0 } else { LARGEST_VALUE / largest });
    for (quants, part) in cell.quants.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0) {
        // SAFETY: 16 quants.
        unsafe { _mm256_storeu_si256(quants.as_mut_ptr().cast(), words(part, inverse)) };
    }
}

/// The largest magnitude, NaN above all.
#[target_feature(enable = "avx2")]
#[inline]
fn largest(values: &[f32]) -> f32 {
    let mut largest = [0_u32; 8];
    for part in values.as_chunks::<8>().0 {
        for (largest, value) in largest.iter_mut().zip(part) {
            *largest = (*largest).max(value.to_bits() & 0x7fff_ffff);
        }
    }
    f32::from_bits(largest.into_iter().max().unwrap_or(0))
}

/// `values · scale` to the nearest whole numbers, ties to even.
#[target_feature(enable = "avx2")]
#[inline]
fn words(values: &[f32; 16], scale: __m256) -> __m256i {
    // SAFETY: 16 f32 are two vectors.
    let [low, high] = unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))] }
        .map(|values| _mm256_cvtps_epi32(_mm256_mul_ps(values, scale)));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high))
}
