//! IQ formats of 2 and 3 bits: elements in fours or eights are entries of a grid, with signs of their own.

use super::grids;
use super::{half_at, part};

/// Sign masks of eight elements by a 7-bit index: the eighth sign makes their number even.
static SIGNS: [u8; 128] = {
    let mut signs = [0; 128];
    let mut index = 0;
    while index < 128 {
        signs[index] = index as u8 | ((index.count_ones() % 2) as u8) << 7;
        index += 1;
    }
    signs
};

/// For each mask of signs, the sign bit of each of eight f32: what makes the loop below one of whole vectors.
static SIGN_BITS: [[u32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let mut i = 0;
        while i < 8 {
            table[mask][i] = (mask as u32 >> i & 1) << 31;
            i += 1;
        }
        mask += 1;
    }
    table
};

/// `out[i] = ± scale · grid[i]`, where bit `i` of `signs` says minus.
fn signed(scale: f32, grid: &[i8; 8], signs: u8, out: &mut [f32; 8]) {
    let signs = &SIGN_BITS[usize::from(signs)];
    for ((out, magnitude), sign) in out.iter_mut().zip(grid).zip(signs) {
        *out = f32::from_bits((scale * f32::from(*magnitude)).to_bits() ^ sign);
    }
}

/// Two entries of four elements side by side.
fn joined([first, second]: [&[i8; 4]; 2]) -> [i8; 8] {
    [first[0], first[1], first[2], first[3], second[0], second[1], second[2], second[3]]
}

/// The sign mask of eights `eight` (0 to 3) under a word that holds four 7-bit indices below its top four
/// bits.
fn word_signs(word: u32, eight: usize) -> u8 {
    SIGNS[(word >> (7 * eight)) as usize & 127]
}

/// Nibble `index` of `bytes`, low halves first.
fn nibble(bytes: &[u8], index: usize) -> u8 {
    bytes[index / 2] >> (index % 2 * 4) & 15
}

/// `d f16 · for each 32: four u8 indices, u32 of four sign indices and a scale`: `d · (s + ½) / 4 · ± grid`.
pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let (groups, _) = part::<2, 64, _>(block).as_chunks::<8>();
    let (outs, _) = out.as_chunks_mut::<8>();
    for (outs, group) in outs.chunks_exact_mut(4).zip(groups) {
        let word = u32::from_le_bytes(*part::<4, 4, _>(group));
        let scale = scale * (0.5 + (word >> 28) as f32) * 0.25;
        for (i, out) in outs.iter_mut().enumerate() {
            signed(scale, &grids::IQ2_XXS[usize::from(group[i])], word_signs(word, i), out);
        }
    }
}

/// `d f16 · 32 u16 of a 9-bit index and a 7-bit sign index · 16 scales of 4 bits`: `d · (s + ½) / 4 · ±
/// grid`.
pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let (quants, _) = part::<2, 64, _>(block).as_chunks::<2>();
    let scales = part::<66, 8, _>(block);
    let (outs, _) = out.as_chunks_mut::<8>();
    for (i, (out, quant)) in outs.iter_mut().zip(quants).enumerate() {
        let quant = usize::from(u16::from_le_bytes(*quant));
        let scale = scale * (0.5 + f32::from(nibble(scales, i / 2))) * 0.25;
        signed(scale, &grids::IQ2_XS[quant & 511], SIGNS[quant >> 9], out);
    }
}

/// `d f16 · 32 low bytes of indices · 32 sign masks · 32 times two high bits · 16 scales of 4 bits`:
/// `d · (s + ½) / 4 · ± grid`.
pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let low = part::<2, 32, _>(block);
    let signs = part::<34, 32, _>(block);
    let high = part::<66, 8, _>(block);
    let scales = part::<74, 8, _>(block);
    let (outs, _) = out.as_chunks_mut::<8>();
    for (i, out) in outs.iter_mut().enumerate() {
        let index = usize::from(low[i]) | usize::from(high[i / 4] >> (i % 4 * 2) & 3) << 8;
        let scale = scale * (0.5 + f32::from(nibble(scales, i / 2))) * 0.25;
        signed(scale, &grids::IQ2_S[index], signs[i], out);
    }
}

/// `d f16 · 64 u8 indices · for each 32 a u32 of four sign indices and a scale`: `d · (s + ½) / 2 · ± grid`.
pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let (indices, _) = part::<2, 64, _>(block).as_chunks::<2>();
    let (words, _) = part::<66, 32, _>(block).as_chunks::<4>();
    let (outs, _) = out.as_chunks_mut::<8>();
    for (i, (out, pair)) in outs.iter_mut().zip(indices).enumerate() {
        let word = u32::from_le_bytes(words[i / 4]);
        let scale = scale * (0.5 + (word >> 28) as f32) * 0.5;
        let entries = pair.map(|index| &grids::IQ3_XXS[usize::from(index)]);
        signed(scale, &joined(entries), word_signs(word, i % 4), out);
    }
}

/// `d f16 · 64 low bytes of indices · their 64 high bits · 32 sign masks · 8 scales of 4 bits`:
/// `d · (2 s + 1) · ± grid`.
pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let (low, _) = part::<2, 64, _>(block).as_chunks::<2>();
    let high = part::<66, 8, _>(block);
    let signs = part::<74, 32, _>(block);
    let scales = part::<106, 4, _>(block);
    let (outs, _) = out.as_chunks_mut::<8>();
    for (i, (out, pair)) in outs.iter_mut().zip(low).enumerate() {
        let high = usize::from(high[i / 4] >> (i % 4 * 2));
        let scale = scale * f32::from(1 + 2 * nibble(scales, i / 4));
        let entries = [
            &grids::IQ3_S[usize::from(pair[0]) | (high & 1) << 8],
            &grids::IQ3_S[usize::from(pair[1]) | (high >> 1 & 1) << 8],
        ];
        signed(scale, &joined(entries), signs[i], out);
    }
}

/// `out[i] = scale · (grid[i] ± ⅛)`.
fn shifted(scale: f32, grid: &[i8; 8], minus: bool, out: &mut [f32; 8]) {
    let delta = if minus { -0.125 } else { 0.125 };
    for (out, value) in out.iter_mut().zip(grid) {
        *out = scale * (f32::from(*value) + delta);
    }
}

/// `d f16 · 32 low bytes of indices · for each 32 a u16 of four times three high bits, a scale of 3 bits and
/// the sign of ⅛`: `d · (2 s + 1) · (grid ± ⅛)`.
pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let scale = half_at::<0, _>(block);
    let low = part::<2, 32, _>(block);
    let (words, _) = part::<34, 16, _>(block).as_chunks::<2>();
    let (outs, _) = out.as_chunks_mut::<8>();
    for (i, out) in outs.iter_mut().enumerate() {
        let word = u16::from_le_bytes(words[i / 4]);
        let scale = scale * f32::from(2 * (word >> 12 & 7) + 1);
        let index = usize::from(low[i]) | usize::from(word >> (i % 4 * 3) & 7) << 8;
        shifted(scale, &grids::IQ1_S[index], word & 0x8000 != 0, out);
    }
}

/// `32 low bytes of indices · for each 8 a nibble of three high bits and the sign of ⅛ · four u16 of four
/// scales of 3 bits and, at the top, a nibble of d`: `d · (2 s + 1) · (grid ± ⅛)`.
pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let low = part::<0, 32, _>(block);
    let high = part::<32, 16, _>(block);
    let (words, _) = part::<48, 8, _>(block).as_chunks::<2>();
    let words = [words[0], words[1], words[2], words[3]].map(u16::from_le_bytes);
    let bits = words.iter().rev().fold(0, |bits, word| bits << 4 | word >> 12);
    let scale = half::f16::from_bits(bits).to_f32();
    let (outs, _) = out.as_chunks_mut::<8>();
    for (i, out) in outs.iter_mut().enumerate() {
        let scale = scale * f32::from(2 * (words[i / 8] >> (i / 2 % 4 * 3) & 7) + 1);
        let top = nibble(high, i);
        let index = usize::from(low[i]) | usize::from(top & 7) << 8;
        shifted(scale, &grids::IQ1_S[index], top & 8 != 0, out);
    }
}
