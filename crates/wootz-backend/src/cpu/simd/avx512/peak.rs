//! The loops of [`super::super::peak`] for AVX-512.

use std::arch::x86_64::*;
use std::hint::black_box;

/// Independent accumulators: more than latency times issue width, and few enough to stay in registers.
const CHAINS: usize = 16;

/// The bitwise or of all `words`.
#[target_feature(enable = "avx512f")]
pub fn read(words: &[u64]) -> u64 {
    let mut all = [_mm512_setzero_si512(); 8];
    let chunks = words.chunks_exact(64);
    let rest = chunks.remainder().iter().fold(0, |all, word| all | word);
    for chunk in chunks {
        for (index, all) in all.iter_mut().enumerate() {
            // SAFETY: 8 words of the 64; the line asked for ahead may be any address.
            unsafe {
                let line = chunk.as_ptr().add(index * 8);
                _mm_prefetch::<_MM_HINT_T0>(line.cast::<i8>().wrapping_add(4096));
                *all = _mm512_or_si512(*all, _mm512_loadu_si512(line.cast()));
            }
        }
    }
    let all = all.into_iter().fold(_mm512_setzero_si512(), |all, some| _mm512_or_si512(all, some));
    rest | _mm512_reduce_or_epi64(all).cast_unsigned()
}

/// Int8 dot products; gives the number of operations.
#[target_feature(enable = "avx512f,avx512vnni")]
pub fn int8(rounds: usize) -> f64 {
    let (a, b) = (black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(-2)));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..rounds {
        sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, a, b));
    }
    black_box(sums);
    (rounds * CHAINS * 128) as f64
}

/// Dot products of 16-bit integers; gives the number of operations.
#[target_feature(enable = "avx512f,avx512vnni")]
pub fn int16(rounds: usize) -> f64 {
    let (a, b) = (black_box(_mm512_set1_epi16(3)), black_box(_mm512_set1_epi16(-2)));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..rounds {
        sums.iter_mut().for_each(|sum| *sum = _mm512_dpwssd_epi32(*sum, a, b));
    }
    black_box(sums);
    (rounds * CHAINS * 64) as f64
}

/// Fused multiply-adds; gives the number of operations.
#[target_feature(enable = "avx512f")]
pub fn f32(rounds: usize) -> f64 {
    let (a, b) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(-0.25)));
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(a, b, *sum));
    }
    black_box(sums);
    (rounds * CHAINS * 32) as f64
}
