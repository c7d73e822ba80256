//! Codes from their planes, in registers.

use std::arch::x86_64::*;

use crate::cpu::matmul::format::Codes;

/// The eight quads of the block at `block`, as [`Codes`] number `CODES` lies.
///
/// # Safety
/// `block` must be readable for [`Codes::bytes`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
pub unsafe fn quads<const CODES: u8>(block: *const u8) -> [__m512i; 8] {
    // SAFETY: vectors 0 to 7 at most, as many as the block has.
    let vector = |index: usize| unsafe { _mm512_loadu_si512(block.add(index * 64).cast()) };
    let mut quads = [_mm512_setzero_si512(); 8];
    if CODES == Codes::Bytes as u8 {
        // Not `array::from_fn`: what it calls is compiled without these instructions, eight calls for eight loads.
        for (index, quad) in quads.iter_mut().enumerate() {
            *quad = vector(index);
        }
        return quads;
    }
    let low = _mm512_set1_epi8(0x0f);
    for index in 0..4 {
        let both = vector(index);
        quads[index] = _mm512_and_si512(both, low);
        quads[index + 4] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
    }
    if CODES == Codes::NibblesAndBit as u8 {
        let plane = vector(4);
        let bit = _mm512_set1_epi8(0x10);
        quads[0] = or_masked(quads[0], _mm512_slli_epi16::<4>(plane), bit);
        quads[1] = or_masked(quads[1], _mm512_slli_epi16::<3>(plane), bit);
        quads[2] = or_masked(quads[2], _mm512_slli_epi16::<2>(plane), bit);
        quads[3] = or_masked(quads[3], _mm512_slli_epi16::<1>(plane), bit);
        quads[4] = or_masked(quads[4], plane, bit);
        quads[5] = or_masked(quads[5], _mm512_srli_epi16::<1>(plane), bit);
        quads[6] = or_masked(quads[6], _mm512_srli_epi16::<2>(plane), bit);
        quads[7] = or_masked(quads[7], _mm512_srli_epi16::<3>(plane), bit);
    }
    if CODES == Codes::NibblesAndPair as u8 {
        let pair = _mm512_set1_epi8(0x30);
        for half in 0..2 {
            let plane = vector(4 + half);
            let quads = &mut quads[half * 4..];
            quads[0] = or_masked(quads[0], _mm512_slli_epi16::<4>(plane), pair);
            quads[1] = or_masked(quads[1], _mm512_slli_epi16::<2>(plane), pair);
            quads[2] = or_masked(quads[2], plane, pair);
            quads[3] = or_masked(quads[3], _mm512_srli_epi16::<2>(plane), pair);
        }
    }
    quads
}

/// `codes | (plane & mask)`.
#[target_feature(enable = "avx512f")]
#[inline]
fn or_masked(codes: __m512i, plane: __m512i, mask: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xf8>(codes, plane, mask)
}

/// 16 f16 at `bytes` as f32.
///
/// # Safety
/// `bytes` must be readable for 32 bytes.
#[target_feature(enable = "avx512f,avx512vl")]
#[inline]
pub unsafe fn halves(bytes: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(bytes.cast()) })
}

/// 16 unsigned bytes at `bytes` as f32.
///
/// # Safety
/// `bytes` must be readable for 16 bytes.
#[target_feature(enable = "avx512f,avx512vl")]
#[inline]
pub unsafe fn unsigned(bytes: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(bytes.cast()) }))
}

/// 16 signed bytes at `bytes` as f32.
///
/// # Safety
/// `bytes` must be readable for 16 bytes.
#[target_feature(enable = "avx512f,avx512vl")]
#[inline]
pub unsafe fn signed(bytes: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(bytes.cast()) }))
}

/// The factors of the minima of a block pair at `bytes`, as 16 pairs of 16 bits.
///
/// # Safety
/// `bytes` must be readable for 32 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
pub unsafe fn factors(bytes: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(bytes.cast()) })
}

/// The 32 bits at `value` in every lane.
///
/// # Safety
/// `value` must be readable for 4 bytes.
#[target_feature(enable = "avx512f")]
#[inline]
pub unsafe fn broadcast<T>(value: *const T) -> __m512i {
    // SAFETY: the caller's promise.
    _mm512_set1_epi32(unsafe { value.cast::<i32>().read_unaligned() })
}

/// The f32 at `value` in every lane.
///
/// # Safety
/// `value` must be readable for 4 bytes.
#[target_feature(enable = "avx512f")]
#[inline]
pub unsafe fn broadcast_f32(value: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_set1_ps(unsafe { value.read() })
}
