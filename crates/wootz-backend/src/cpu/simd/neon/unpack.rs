//! Unpacking a segment to bytes and f32 scales, for the tile kernel.

use super::base::*;
use super::load::{store_bytes, store_rows};
use super::source::{Packed, Source, for_format};
use crate::cpu::matmul::format::{BLOCK_QUADS, Format, SEGMENT_BLOCKS, Scales, Segment};
use crate::cpu::matmul::unpack::UnpackedPanel;

/// See [`Kernels::unpack`](crate::cpu::matmul::kernels::Kernels::unpack).
pub fn unpack(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    for_format!(format, FORMAT => {
        let packed = Packed::new(FORMAT, segment);
        codes(packed, FORMAT, &mut out.quads[at * SEGMENT_BLOCKS..][..segment.blocks]);
        scales(packed, FORMAT, segment, at, out);
    });
}

#[inline(always)]
fn codes(packed: Packed<'_>, format: Format, out: &mut [[[u8; 64]; BLOCK_QUADS]]) {
    let lift = vdupq_n_u8(format.lift());
    for (block, quads) in out.iter_mut().enumerate() {
        for (quad, out) in quads.iter_mut().enumerate() {
            for (codes, out) in packed.quad(block, quad).into_iter().zip(out.chunks_exact_mut(16)) {
                store_bytes(out, vaddq_u8(codes, lift));
            }
        }
    }
}

#[inline(always)]
fn scales(packed: Packed<'_>, format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    let first = at * SEGMENT_BLOCKS;
    match format.scales() {
        Scales::Half | Scales::HalfAndMinimum => {
            for block in 0..segment.blocks {
                store_rows(&mut out.scales[first + block], packed.scale(block));
                if format.scales() == Scales::HalfAndMinimum {
                    store_rows(&mut out.minima[first + block], packed.minimum(block));
                }
            }
        }
        Scales::SixBitAndMinimum => {
            store_rows(&mut out.minima[at], packed.minimum(0));
            for block in 0..SEGMENT_BLOCKS {
                store_rows(&mut out.scales[first + block], packed.scale(block));
            }
            for pair in 0..SEGMENT_BLOCKS / 2 {
                for (row, factors) in out.factors[first / 2 + pair].iter_mut().enumerate() {
                    let from = 192 + pair * 32 + 2 * row;
                    *factors = [i16::from(segment.scales[from]), i16::from(segment.scales[from + 1])];
                }
            }
        }
        Scales::EightBitHalves => {
            for half in 0..2 * SEGMENT_BLOCKS {
                store_rows(&mut out.scales[2 * first + half], packed.scale(half));
            }
        }
    }
}
