//! K-quants: super-blocks of 256 elements, whose groups of 16 or 32 have small integer scales under one f16
//! scale.

use super::{half_at, part};

/// Scales and minima of the eight groups of Q4_K and Q5_K, 6 bits each, in 12 bytes: bytes 0..4 have the low
/// 6 bits of scales 0..4 and bytes 4..8 those of minima 0..4; their top 2 bits are the top bits of scales and
/// minima 4..8, whose low nibbles share bytes 8..12.
pub(super) fn scales_and_minima(packed: &[u8; 12]) -> [(u8, u8); 8] {
    std::array::from_fn(|group| {
        if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let low = packed[group + 4];
            ((low & 15) | ((packed[group - 4] >> 6) << 4), (low >> 4) | ((packed[group] >> 6) << 4))
        }
    })
}

/// `16 scales (low nibble) and minima (high) · 256 two-bit quants · d f16 · dmin f16`: `d · s · q - dmin ·
/// m`.
///
/// A run of 128 elements shares 32 bytes: bits 0..2 are elements 0..32, bits 2..4 elements 32..64 and so on.
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let scales = part::<0, 16, _>(block);
    let (quants, _) = part::<16, 64, _>(block).as_chunks::<32>();
    let (scale, minimum) = (half_at::<80, _>(block), half_at::<82, _>(block));
    let (groups, _) = out.as_chunks_mut::<16>();
    for (g, group) in groups.iter_mut().enumerate() {
        let scale = scale * f32::from(scales[g] & 15);
        let minimum = minimum * f32::from(scales[g] >> 4);
        let shift = (g % 8 / 2) * 2;
        let quants = &quants[g / 8][(g % 2) * 16..][..16];
        for (out, quant) in group.iter_mut().zip(quants) {
            *out = scale * f32::from((quant >> shift) & 3) - minimum;
        }
    }
}

/// `256 third bits · 256 two-bit quants · 16 six-bit scales · d f16`: `d · (s - 32) · (q - 4)`.
///
/// The two low bits lie as in Q2_K; bit `g` of byte `i` is the third bit of element `32 g + i`. Scale `i` has
/// its low nibble in byte `i % 8` (low half for the first eight) and its top two bits in byte `8 + i % 4`.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let third = part::<0, 32, _>(block);
    let (quants, _) = part::<32, 64, _>(block).as_chunks::<32>();
    let scales = part::<96, 12, _>(block);
    let scale = half_at::<108, _>(block);
    let (groups, _) = out.as_chunks_mut::<16>();
    for (g, group) in groups.iter_mut().enumerate() {
        let low = (scales[g % 8] >> (g / 8 * 4)) & 15;
        let top = (scales[8 + g % 4] >> (g / 4 * 2)) & 3;
        let scale = scale * f32::from((low | top << 4) as i8 - 32);
        let shift = (g % 8 / 2) * 2;
        let half = (g % 2) * 16;
        let (quants, third) = (&quants[g / 8][half..][..16], &third[half..][..16]);
        for ((out, quant), third) in group.iter_mut().zip(quants).zip(third) {
            let quant = ((quant >> shift) & 3) | ((third >> (g / 2)) & 1) << 2;
            *out = scale * (f32::from(quant) - 4.0);
        }
    }
}

/// `d f16 · dmin f16 · 12 bytes of scales and minima · 256 nibbles`: `d · s · q - dmin · m`.
///
/// Each run of 64 elements shares 32 bytes: the low nibbles are its first 32 elements, the high ones the
/// rest.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at::<0, _>(block), half_at::<2, _>(block));
    let groups = scales_and_minima(part::<4, 12, _>(block));
    let (quants, _) = part::<16, 128, _>(block).as_chunks::<32>();
    let (outs, _) = out.as_chunks_mut::<32>();
    for (g, (out, (s, m))) in outs.iter_mut().zip(groups).enumerate() {
        let (scale, minimum) = (scale * f32::from(s), minimum * f32::from(m));
        let shift = g % 2 * 4;
        for (out, byte) in out.iter_mut().zip(&quants[g / 2]) {
            *out = scale * f32::from((byte >> shift) & 15) - minimum;
        }
    }
}

/// As [`q4_k`], with `256 fifth bits` before the nibbles: bit `g` of byte `i` belongs to element `32 g + i`.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at::<0, _>(block), half_at::<2, _>(block));
    let groups = scales_and_minima(part::<4, 12, _>(block));
    let fifth = part::<16, 32, _>(block);
    let (quants, _) = part::<48, 128, _>(block).as_chunks::<32>();
    let (outs, _) = out.as_chunks_mut::<32>();
    for (g, (out, (s, m))) in outs.iter_mut().zip(groups).enumerate() {
        let (scale, minimum) = (scale * f32::from(s), minimum * f32::from(m));
        let shift = g % 2 * 4;
        for ((out, byte), fifth) in out.iter_mut().zip(&quants[g / 2]).zip(fifth) {
            let quant = ((byte >> shift) & 15) | ((fifth >> g) & 1) << 4;
            *out = scale * f32::from(quant) - minimum;
        }
    }
}

/// `256 low nibbles · 256 top two bits · 16 i8 scales · d f16`: `d · s · (q - 32)`.
///
/// A run of 128 elements has 64 bytes of nibbles (low halves: its first 64 elements) and 32 bytes of top bits
/// (bits 0..2: its first 32 elements, and so on).
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, _) = part::<0, 128, _>(block).as_chunks::<32>();
    let (top, _) = part::<128, 64, _>(block).as_chunks::<32>();
    let scales = part::<192, 16, _>(block);
    let scale = half_at::<208, _>(block);
    let (outs, _) = out.as_chunks_mut::<32>();
    for (g, out) in outs.iter_mut().enumerate() {
        let low = &low[g / 4 * 2 + g % 2];
        let top = &top[g / 4];
        let (low_shift, top_shift) = (g % 4 / 2 * 4, g % 4 * 2);
        let (halves, _) = out.as_chunks_mut::<16>();
        for (h, out) in halves.iter_mut().enumerate() {
            let scale = scale * f32::from(scales[2 * g + h] as i8);
            for ((out, low), top) in out.iter_mut().zip(&low[16 * h..]).zip(&top[16 * h..]) {
                let quant = ((low >> low_shift) & 15) | ((top >> top_shift) & 3) << 4;
                *out = scale * (f32::from(quant) - 32.0);
            }
        }
    }
}

/// `d f32 · 256 i8 · 16 i16 sums`: `d · q`. The sums serve dot products only.
pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    let scale = f32::from_le_bytes(*part::<0, 4, _>(block));
    for (out, quant) in out.iter_mut().zip(part::<4, 256, _>(block)) {
        *out = scale * f32::from(*quant as i8);
    }
}
