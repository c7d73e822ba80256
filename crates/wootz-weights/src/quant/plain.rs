//! Types without blocks: floats and integers.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Decodes elements of `N` bytes each.
pub(super) fn elements<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    let (elements, _) = bytes.as_chunks::<N>();
    for (element, out) in elements.iter().zip(out) {
        *out = decode(*element);
    }
}

/// Decodes f16, through the processor's own conversion where it has one.
pub(super) fn f16(bytes: &[u8], out: &mut [f32]) {
    // The source bytes may lie at odd addresses, so they pass through a small aligned buffer.
    const RUN: usize = 256;
    let mut bits = [0_u16; RUN];
    for (bytes, out) in bytes.chunks(2 * RUN).zip(out.chunks_mut(RUN)) {
        let (pairs, _) = bytes.as_chunks::<2>();
        let bits = &mut bits[..out.len()];
        for (bits, pair) in bits.iter_mut().zip(pairs) {
            *bits = u16::from_le_bytes(*pair);
        }
        bits.reinterpret_cast::<half::f16>().convert_to_f32_slice(out);
    }
}
