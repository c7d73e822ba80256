//! Unpacking a segment to bytes and f32 scales, for the tile kernel.

use super::base::*;
use super::load::{store_bytes, store_rows};
use super::source::{Packed, Source, for_format};
use crate::cpu::matmul::format::{BLOCK_QUADS, Format, SEGMENT_BLOCKS, Scales, Segment};
use crate::cpu::matmul::unpack::UnpackedPanel;

/// See [`Kernels::unpack`](crate::cpu::matmul::kernels::Kernels::unpack).
pub fn unpack(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    for_format!(format, FORMAT => {
        let packed = Packed::<FORMAT>::new(segment);
        codes(packed, &mut out.quads[at * SEGMENT_BLOCKS..][..segment.blocks]);
        scales(packed, segment, at, out);
    });
}

fn codes<const FORMAT: u8>(packed: Packed<'_, FORMAT>, out: &mut [[[u8; 64]; BLOCK_QUADS]]) {
    for (block, quads) in out.iter_mut().enumerate() {
        lifted(packed, block, 0, quads);
        lifted(packed, block, 1, quads);
        lifted(packed, block, 2, quads);
        lifted(packed, block, 3, quads);
        lifted(packed, block, 4, quads);
        lifted(packed, block, 5, quads);
        lifted(packed, block, 6, quads);
        lifted(packed, block, 7, quads);
    }
}

/// One quad. Its number is a constant once inlined, and so are the shifts that depend on it.
#[inline(always)]
fn lifted<const FORMAT: u8>(
    packed: Packed<'_, FORMAT>,
    block: usize,
    quad: usize,
    out: &mut [[u8; 64]; BLOCK_QUADS],
) {
    let lift = vdupq_n_u8(Packed::<FORMAT>::FORMAT.lift());
    let codes = packed.quad(block, quad);
    let (out, _) = out[quad].as_chunks_mut::<16>();
    for i in 0..4 {
        store_bytes(&mut out[i], vaddq_u8(codes[i], lift));
    }
}

fn scales<const FORMAT: u8>(
    packed: Packed<'_, FORMAT>,
    segment: Segment<'_>,
    at: usize,
    out: &mut UnpackedPanel,
) {
    let (first, format) = (at * SEGMENT_BLOCKS, Packed::<FORMAT>::FORMAT);
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
