//! Unpacking a segment to bytes and f32 scales, for the tile kernel.

use std::arch::x86_64::*;

use crate::cpu::matmul::format::{Codes, Format, SEGMENT_BLOCKS, Scales, Segment};
use crate::cpu::matmul::unpack::UnpackedPanel;

/// See [`Kernels::unpack`](crate::cpu::matmul::kernels::Kernels::unpack).
#[target_feature(enable = "avx2,fma,f16c")]
pub fn unpack(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    let blocks = segment.codes.chunks_exact(format.codes().bytes());
    for (block, quads) in blocks.zip(&mut out.quads[at * SEGMENT_BLOCKS..]) {
        unpack_block(format, block, quads);
    }
    scales(format, segment, at, out);
}

/// The 32 bytes of `bytes` from `at` on.
#[target_feature(enable = "avx2")]
#[inline]
fn vector(bytes: &[u8], at: usize) -> __m256i {
    let bytes = &bytes[at..at + 32];
    // SAFETY: 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// `vector` shifted right by `by` (left if negative); bits that come from a neighbouring byte are the caller's to mask.
#[target_feature(enable = "avx2")]
#[inline]
fn shift(vector: __m256i, by: i32) -> __m256i {
    if by < 0 {
        _mm256_sll_epi16(vector, _mm_cvtsi32_si128(-by))
    } else {
        _mm256_srl_epi16(vector, _mm_cvtsi32_si128(by))
    }
}

/// Unpacks one block, half a quad (8 rows) at a time.
#[target_feature(enable = "avx2")]
#[inline]
fn unpack_block(format: Format, block: &[u8], quads: &mut [[u8; 64]; 8]) {
    let lift = _mm256_set1_epi8(format.lift().cast_signed());
    let low = _mm256_set1_epi8(0x0f);
    for (quad, out) in quads.iter_mut().enumerate() {
        for half in [0, 32] {
            let nibbles = || {
                let both = vector(block, quad % 4 * 64 + half);
                _mm256_and_si256(shift(both, (quad / 4 * 4) as i32), low)
            };
            let codes = match format.codes() {
                Codes::Bytes => vector(block, quad * 64 + half),
                Codes::Nibbles => nibbles(),
                Codes::NibblesAndBit => {
                    let plane = shift(vector(block, 256 + half), quad as i32 - 4);
                    _mm256_or_si256(nibbles(), _mm256_and_si256(plane, _mm256_set1_epi8(0x10)))
                }
                Codes::NibblesAndPair => {
                    let plane = shift(vector(block, 256 + quad / 4 * 64 + half), quad as i32 % 4 * 2 - 4);
                    _mm256_or_si256(nibbles(), _mm256_and_si256(plane, _mm256_set1_epi8(0x30)))
                }
            };
            let out = &mut out[half..half + 32];
            // SAFETY: 32 bytes.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_add_epi8(codes, lift)) };
        }
    }
}

/// 16 f16 from byte `at` on as f32.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn halves(bytes: &[u8], at: usize) -> [__m256; 2] {
    let words = vector(bytes, at);
    [_mm256_cvtph_ps(_mm256_castsi256_si128(words)), _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(words))]
}

/// The products of `scale` and 16 bytes, signed or not.
#[target_feature(enable = "avx2")]
#[inline]
fn scaled<const SIGNED: bool>(scale: [__m256; 2], bytes: &[u8]) -> [__m256; 2] {
    let bytes: &[u8; 16] = bytes.first_chunk().expect("16 factors");
    // SAFETY: 16 bytes.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let widen = |bytes| if SIGNED { _mm256_cvtepi8_epi32(bytes) } else { _mm256_cvtepu8_epi32(bytes) };
    let factors =
        [widen(bytes), widen(_mm_srli_si128::<8>(bytes))].map(|factors| _mm256_cvtepi32_ps(factors));
    [_mm256_mul_ps(scale[0], factors[0]), _mm256_mul_ps(scale[1], factors[1])]
}

#[target_feature(enable = "avx2,fma,f16c")]
fn scales(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    use super::tile::store;
    let first = at * SEGMENT_BLOCKS;
    let bytes = segment.scales;
    match format.scales() {
        Scales::Half => {
            for block in 0..segment.blocks {
                store(&mut out.scales[first + block], halves(bytes, block * 32));
            }
        }
        Scales::HalfAndMinimum => {
            for block in 0..segment.blocks {
                store(&mut out.scales[first + block], halves(bytes, block * 64));
                store(&mut out.minima[first + block], halves(bytes, block * 64 + 32));
            }
        }
        Scales::SixBitAndMinimum => {
            let scale = halves(bytes, 0);
            let minimum = halves(bytes, 32).map(|minimum| _mm256_xor_ps(minimum, _mm256_set1_ps(-0.0)));
            store(&mut out.minima[at], minimum);
            for block in 0..SEGMENT_BLOCKS {
                store(&mut out.scales[first + block], scaled::<false>(scale, &bytes[64 + block * 16..]));
            }
            for pair in 0..SEGMENT_BLOCKS / 2 {
                let factors = bytes[192 + pair * 32..].as_chunks::<2>().0;
                for (out, factors) in out.factors[first / 2 + pair].iter_mut().zip(factors) {
                    *out = factors.map(i16::from);
                }
            }
        }
        Scales::EightBitHalves => {
            let scale = halves(bytes, 0);
            for half in 0..2 * SEGMENT_BLOCKS {
                store(&mut out.scales[2 * first + half], scaled::<true>(scale, &bytes[32 + half * 16..]));
            }
        }
    }
}
