//! Formats whose elements are nibbles that choose one of sixteen values: IQ4 and the 4-bit floats.

use super::{half_at, part};

/// The sixteen values of the IQ4 formats: finer near zero.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// E2M1 floats, doubled so that they are whole: sign, two bits of exponent, one of mantissa.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Half of every unsigned E4M3 float (bias 7), since the values it scales are doubled. 0x7f is no number and
/// counts as 0; the top bit is ignored, except that 0xff is a number.
static HALF_E4M3: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let (exponent, mantissa) = ((byte >> 3 & 15) as u32, (byte & 7) as u32);
        table[byte] = if byte == 0x7f {
            0.0
        } else if exponent == 0 {
            // Subnormal: mantissa · 2^-9, halved.
            mantissa as f32 * f32::from_bits((127 - 10) << 23)
        } else {
            f32::from_bits((exponent + 127 - 7 - 1) << 23 | mantissa << 20)
        };
        byte += 1;
    }
    table
};

/// Low nibbles are the first `N` elements, high ones the other `N`.
fn look_up<const N: usize>(scale: f32, values: &[i8; 16], quants: &[u8; N], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(N);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(quants) {
        *low = scale * f32::from(values[usize::from(byte & 15)]);
        *high = scale * f32::from(values[usize::from(byte >> 4)]);
    }
}

/// `d f16 · 32 nibbles`: `d · value`.
pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    look_up(half_at::<0, _>(block), &IQ4, part::<2, 16, _>(block), out);
}

/// `d f16 · top two bits of 8 scales · their low nibbles · 256 nibbles`: `d · (s - 32) · value`.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let top = u16::from_le_bytes(*part::<2, 2, _>(block));
    let low = part::<4, 4, _>(block);
    let (quants, _) = part::<8, 128, _>(block).as_chunks::<16>();
    let (outs, _) = out.as_chunks_mut::<32>();
    for (g, (out, quants)) in outs.iter_mut().zip(quants).enumerate() {
        let low = low[g / 2] >> (g % 2 * 4) & 15;
        let top = (top >> (2 * g)) as u8 & 3;
        look_up(scale * f32::from((low | top << 4) as i8 - 32), &IQ4, quants, out);
    }
}

/// `exponent u8 · 32 nibbles`: `2^(e - 127) · E2M1` (OCP Microscaling).
pub(super) fn mxfp4(block: &[u8; 17], out: &mut [f32; 32]) {
    // Half the scale, since the values are doubled: 2^(e - 128), which is subnormal for the two lowest
    // exponents.
    let exponent = u32::from(block[0]);
    let bits = if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 };
    look_up(f32::from_bits(bits), &E2M1, part::<1, 16, _>(block), out);
}

/// `4 scales E4M3 · for each 16 elements 8 bytes of nibbles`: `s · E2M1`. A further scale of the whole tensor
/// is a tensor of its own.
pub(super) fn nvfp4(block: &[u8; 36], out: &mut [f32; 64]) {
    let (quants, _) = part::<4, 32, _>(block).as_chunks::<8>();
    let (outs, _) = out.as_chunks_mut::<16>();
    for ((out, quants), scale) in outs.iter_mut().zip(quants).zip(part::<0, 4, _>(block)) {
        look_up(HALF_E4M3[usize::from(*scale)], &E2M1, quants, out);
    }
}
