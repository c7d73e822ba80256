//! Quantising activations to int8.

use std::arch::x86_64::*;

use crate::cpu::matmul::input::{InputKind, Int8Cell, SMALLEST};
use crate::cpu::matmul::int16::{self, Int16Cell, LARGEST_VALUE};

/// See [`Kernels::quantize`](crate::cpu::matmul::kernels::Kernels::quantize).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn quantize(kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
    let group = if kind == InputKind::Int8Block32 { 32 } else { 256 };
    assert!(values.len() <= cell.quants.len() && values.len().is_multiple_of(group));
    for (index, part) in values.chunks_exact(group).enumerate() {
        let scale = group_scale(part);
        // SAFETY: 16 values and 16 quants at a time, inside what was asserted; their sums have a place each.
        unsafe { convert(part, index * group, scale, cell) };
        cell.scales[index] = scale / 127.0;
    }
    for block in 0..values.len() / 32 {
        cell.negated[block] = cell.negated_halves[2 * block] + cell.negated_halves[2 * block + 1];
        cell.sums[block] = cell.sum_halves[2 * block] + cell.sum_halves[2 * block + 1];
        cell.weighted[block] = cell.scales[block * 32 / group] * f32::from(cell.sums[block]);
    }
}

/// See [`Kernels::quantize_int16`](crate::cpu::matmul::kernels::Kernels::quantize_int16).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn quantize_int16(values: &[f32], cell: &mut Int16Cell) {
    if !values.len().is_multiple_of(32) {
        return int16::quantize(values, cell);
    }
    assert!(values.len() <= cell.quants.len());
    let largest = group_scale(values);
    cell.scale = largest / LARGEST_VALUE;
    let inverse = _mm512_set1_ps(if largest < SMALLEST { 0.0 } else { LARGEST_VALUE / largest });
    for (quants, part) in cell.quants.chunks_exact_mut(16).zip(values.chunks_exact(16)) {
        // SAFETY: 16 f32 and 16 quants.
        unsafe {
            let scaled = _mm512_mul_ps(_mm512_loadu_ps(part.as_ptr()), inverse);
            let words = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(scaled));
            _mm256_storeu_si256(quants.as_mut_ptr().cast(), words);
        }
    }
}

/// The largest magnitude, NaN above all.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
fn group_scale(values: &[f32]) -> f32 {
    let magnitude = _mm512_set1_epi32(0x7fff_ffff);
    let mut largest = _mm512_setzero_si512();
    for part in values.chunks_exact(16) {
        // SAFETY: 16 f32.
        let bits = unsafe { _mm512_loadu_si512(part.as_ptr().cast()) };
        largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, magnitude));
    }
    f32::from_bits(_mm512_reduce_max_epu32(largest))
}

/// Quantises one group, the first of whose values is number `first` of the cell.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn convert(values: &[f32], first: usize, largest: f32, cell: &mut Int8Cell) {
    let inverse = _mm512_set1_ps(if largest < SMALLEST { 0.0 } else { 127.0 / largest });
    for (index, part) in values.chunks_exact(16).enumerate() {
        // SAFETY: 16 f32 and 16 quants.
        unsafe {
            let scaled = _mm512_mul_ps(_mm512_loadu_ps(part.as_ptr()), inverse);
            let bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(scaled));
            _mm_storeu_si128(cell.quants.as_mut_ptr().add(first + index * 16).cast(), bytes);
            // Sums of four in each lane, then across the four lanes.
            let fours = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), bytes);
            let twos = _mm_add_epi32(fours, _mm_shuffle_epi32::<0b01_00_11_10>(fours));
            let sum = _mm_cvtsi128_si32(_mm_add_epi32(twos, _mm_shuffle_epi32::<0b10_11_00_01>(twos)));
            let half = first / 16 + index;
            cell.negated_halves[half] = -128 * sum;
            cell.sum_halves[half] = sum as i16;
        }
    }
}
