//! Unpacking a segment to bytes and f32 scales, for the tile kernel.

use std::arch::x86_64::*;

use super::planes::{factors, halves, quads, signed, unsigned};
use crate::cpu::matmul::format::{Codes, Format, SEGMENT_BLOCKS, Scales, Segment};
use crate::cpu::matmul::unpack::UnpackedPanel;

/// See [`Kernels::unpack`](crate::cpu::matmul::kernels::Kernels::unpack).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn unpack(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    assert!(at < 2 && segment.blocks <= SEGMENT_BLOCKS);
    assert_eq!(segment.codes.len(), segment.blocks * format.codes().bytes());
    assert_eq!(segment.scales.len(), format.scale_bytes(segment.blocks));
    // SAFETY: the lengths asserted above are what these read; `at < 2` keeps the writes inside.
    unsafe {
        match format.codes() {
            Codes::Bytes => codes::<{ Codes::Bytes as u8 }>(format, segment, at, out),
            Codes::Nibbles => codes::<{ Codes::Nibbles as u8 }>(format, segment, at, out),
            Codes::NibblesAndBit => codes::<{ Codes::NibblesAndBit as u8 }>(format, segment, at, out),
            Codes::NibblesAndPair => codes::<{ Codes::NibblesAndPair as u8 }>(format, segment, at, out),
        }
        scales(format, segment, at, out);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn codes<const CODES: u8>(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    let lift = _mm512_set1_epi8(format.lift().cast_signed());
    let bytes = format.codes().bytes();
    for (block, out) in out.quads[at * SEGMENT_BLOCKS..].iter_mut().take(segment.blocks).enumerate() {
        // SAFETY: the block exists, asserted above.
        let quads = unsafe { quads::<CODES>(segment.codes.as_ptr().add(block * bytes)) };
        for (quad, out) in quads.into_iter().zip(out) {
            // SAFETY: 64 bytes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_add_epi8(quad, lift)) };
        }
    }
}

/// Stores 16 f32.
#[target_feature(enable = "avx512f")]
#[inline]
fn store(out: &mut [f32; 16], value: __m512) {
    // SAFETY: 16 f32.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), value) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn scales(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    let first = at * SEGMENT_BLOCKS;
    let bytes = segment.scales.as_ptr();
    // SAFETY: every offset lies inside the scales, whose length was asserted above.
    unsafe {
        match format.scales() {
            Scales::Half => {
                for block in 0..segment.blocks {
                    store(&mut out.scales[first + block], halves(bytes.add(block * 32)));
                }
            }
            Scales::HalfAndMinimum => {
                for block in 0..segment.blocks {
                    store(&mut out.scales[first + block], halves(bytes.add(block * 64)));
                    store(&mut out.minima[first + block], halves(bytes.add(block * 64 + 32)));
                }
            }
            Scales::SixBitAndMinimum => {
                let scale = halves(bytes);
                store(&mut out.minima[at], _mm512_xor_ps(halves(bytes.add(32)), _mm512_set1_ps(-0.0)));
                for block in 0..SEGMENT_BLOCKS {
                    let product = _mm512_mul_ps(scale, unsigned(bytes.add(64 + block * 16)));
                    store(&mut out.scales[first + block], product);
                }
                for pair in 0..SEGMENT_BLOCKS / 2 {
                    let out = out.factors[first / 2 + pair].as_mut_ptr();
                    _mm512_storeu_si512(out.cast(), factors(bytes.add(192 + pair * 32)));
                }
            }
            Scales::EightBitHalves => {
                let scale = halves(bytes);
                for half in 0..2 * SEGMENT_BLOCKS {
                    let product = _mm512_mul_ps(scale, signed(bytes.add(32 + half * 16)));
                    store(&mut out.scales[2 * first + half], product);
                }
            }
        }
    }
}
