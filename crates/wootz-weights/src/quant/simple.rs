//! Blocks of 32 elements with one f16 scale, some with an f16 minimum too.
//!
//! Nibbles: the low ones are elements 0..16, the high ones 16..32. Fifth bits: element 0 is the lowest of the
//! first byte.

use super::{half_at, part};

/// Calls `decode` with each element's place and nibble; tight because everything has a fixed size.
fn nibbles(quants: &[u8; 16], out: &mut [f32; 32], decode: impl Fn(usize, u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (i, byte) in quants.iter().enumerate() {
        low[i] = decode(i, byte & 15);
        high[i] = decode(i + 16, byte >> 4);
    }
}

/// For each byte of fifth bits, those bits in their place above eight nibbles.
static FIFTH: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut i = 0;
        while i < 8 {
            table[byte][i] = ((byte as u8) >> i & 1) << 4;
            i += 1;
        }
        byte += 1;
    }
    table
};

/// The fifth bit of each element, in its place above a nibble.
fn fifth(bits: &[u8; 4]) -> [u8; 32] {
    let mut spread = [0; 32];
    let (eights, _) = spread.as_chunks_mut::<8>();
    for (eight, byte) in eights.iter_mut().zip(bits) {
        *eight = FIFTH[usize::from(*byte)];
    }
    spread
}

/// `d f16 · 32 nibbles`: `d · (q - 8)`.
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at::<0, _>(block);
    nibbles(part::<2, 16, _>(block), out, |_, quant| scale * f32::from(quant as i8 - 8));
}

/// `d f16 · m f16 · 32 nibbles`: `d · q + m`.
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, minimum) = (half_at::<0, _>(block), half_at::<2, _>(block));
    nibbles(part::<4, 16, _>(block), out, |_, quant| scale * f32::from(quant) + minimum);
}

/// `d f16 · 32 fifth bits · 32 nibbles`: `d · (q - 16)`.
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half_at::<0, _>(block);
    let fifth = fifth(part::<2, 4, _>(block));
    nibbles(part::<6, 16, _>(block), out, |i, quant| scale * (f32::from(quant | fifth[i]) - 16.0));
}

/// `d f16 · m f16 · 32 fifth bits · 32 nibbles`: `d · q + m`.
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, minimum) = (half_at::<0, _>(block), half_at::<2, _>(block));
    let fifth = fifth(part::<4, 4, _>(block));
    nibbles(part::<8, 16, _>(block), out, |i, quant| scale * f32::from(quant | fifth[i]) + minimum);
}

/// `d f16 · 32 i8`: `d · q`.
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    bytes(half_at::<0, _>(block), part::<2, 32, _>(block), out);
}

/// `d f16 · sum f16 · 32 i8`: `d · q`. The sum (of `d · q`) serves dot products only.
pub(super) fn q8_1(block: &[u8; 36], out: &mut [f32; 32]) {
    bytes(half_at::<0, _>(block), part::<4, 32, _>(block), out);
}

fn bytes(scale: f32, quants: &[u8; 32], out: &mut [f32; 32]) {
    for (out, quant) in out.iter_mut().zip(quants) {
        *out = scale * f32::from(*quant as i8);
    }
}
