//! Ternary formats: every element is -1, 0 or 1 times one f16 scale.

use super::{half_at, part};

/// Five ternary digits in a byte, as the fraction `byte / 256`: the first digit of `3 · fraction` is element
/// 0, and multiplying by powers of three (dropping whole parts) brings the others to the front.
fn digit(byte: u8, power: u8) -> f32 {
    let digit = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as i8;
    f32::from(digit - 1)
}

const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// `48 bytes of five digits · 4 bytes of four · d f16`: `d · q`.
///
/// Digit `n` of bytes 0..32 are elements `32 n ..`, of bytes 32..48 elements `160 + 16 n ..`, of the last
/// four `240 + 4 n ..`.
pub(super) fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    let scale = half_at::<52, _>(block);
    let (first, rest) = out.split_at_mut(160);
    let (second, third) = rest.split_at_mut(80);
    digits(scale, part::<0, 32, _>(block), first);
    digits(scale, part::<32, 16, _>(block), second);
    digits(scale, part::<48, 4, _>(block), third);
}

fn digits<const N: usize>(scale: f32, bytes: &[u8; N], out: &mut [f32]) {
    let (runs, _) = out.as_chunks_mut::<N>();
    for (run, power) in runs.iter_mut().zip(POWERS) {
        for (out, byte) in run.iter_mut().zip(bytes) {
            *out = scale * digit(*byte, power);
        }
    }
}

/// `256 two-bit quants · d f16`: `d · (q - 1)`. A run of 128 elements shares 32 bytes: bits 0..2 are elements
/// 0..32, and so on.
pub(super) fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let scale = half_at::<64, _>(block);
    let (quants, _) = part::<0, 64, _>(block).as_chunks::<32>();
    let (outs, _) = out.as_chunks_mut::<32>();
    for (g, out) in outs.iter_mut().enumerate() {
        let shift = g % 4 * 2;
        for (out, byte) in out.iter_mut().zip(&quants[g / 4]) {
            *out = scale * f32::from((byte >> shift & 3) as i8 - 1);
        }
    }
}
