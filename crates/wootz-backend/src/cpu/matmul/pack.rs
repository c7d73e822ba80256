//! From the blocks of a file to panels.
//!
//! Each function packs one block of one row; all work on 32-bit words of four codes, which are what the panel
//! interleaves.

use wootz_weights::tensor::{Tensor, TensorType};

use super::format::{Codes, Format, PANEL_ROWS, SEGMENT_BLOCKS, Scales};
use super::int16;

/// Bytes of a file that are packed before their pages are given back.
const RELEASE_BYTES: usize = 16 << 20;

const LOW: u32 = 0x0f0f_0f0f;

/// The word of codes at byte `at`.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes the planes of one block of one row: `quads` are its codes, four to a word.
#[inline(always)]
fn write_codes(codes: Codes, quads: [u32; 8], row: usize, out: &mut [u8]) {
    let mut put = |vector: usize, word: u32| {
        out[vector * 64 + row * 4..vector * 64 + row * 4 + 4].copy_from_slice(&word.to_le_bytes());
    };
    if codes == Codes::Bytes {
        for (vector, quad) in quads.into_iter().enumerate() {
            put(vector, quad);
        }
        return;
    }
    for vector in 0..4 {
        put(vector, quads[vector] & LOW | (quads[vector + 4] & LOW) << 4);
    }
    match codes {
        Codes::Bytes | Codes::Nibbles => {}
        Codes::NibblesAndBit => {
            let mut plane = 0;
            for (index, quad) in quads.into_iter().enumerate() {
                plane |= (quad >> 4 & 0x0101_0101) << index;
            }
            put(4, plane);
        }
        Codes::NibblesAndPair => {
            for half in 0..2 {
                let mut plane = 0;
                for quad in 0..4 {
                    plane |= (quads[4 * half + quad] >> 4 & 0x0303_0303) << (2 * quad);
                }
                put(4 + half, plane);
            }
        }
    }
}

/// The codes of block `block` of a file's block `source`.
#[inline(always)]
fn read_codes(format: Format, source: &[u8], block: usize) -> [u32; 8] {
    match format {
        Format::Q8_0 => std::array::from_fn(|quad| word(source, 2 + quad * 4) ^ 0x8080_8080),
        Format::Q4_0 => nibbles(&source[2..18]),
        Format::Q4_1 => nibbles(&source[4..20]),
        Format::Q5_0 => fifth_bits(nibbles(&source[6..22]), word(source, 2)),
        Format::Q5_1 => fifth_bits(nibbles(&source[8..24]), word(source, 4)),
        Format::Q4_K => {
            let (codes, shift) = (&source[16 + block / 2 * 32..][..32], block % 2 * 4);
            std::array::from_fn(|quad| word(codes, quad * 4) >> shift & LOW)
        }
        Format::Q5_K => {
            let (codes, shift) = (&source[48 + block / 2 * 32..][..32], block % 2 * 4);
            // A loop, not a closure: that would be called for each quad.
            let mut quads = [0; 8];
            for (index, quad) in quads.iter_mut().enumerate() {
                let fifth = word(&source[16..48], index * 4) >> block & 0x0101_0101;
                *quad = word(codes, index * 4) >> shift & LOW | fifth << 4;
            }
            quads
        }
        Format::Q6_K => {
            let half = block / 4;
            let codes = &source[half * 64 + block % 2 * 32..][..32];
            let (shift, high) = (block % 4 / 2 * 4, &source[128 + half * 32..][..32]);
            let mut quads = [0; 8];
            for (index, quad) in quads.iter_mut().enumerate() {
                let pair = word(high, index * 4) >> (2 * (block % 4)) & 0x0303_0303;
                *quad = word(codes, index * 4) >> shift & LOW | pair << 4;
            }
            quads
        }
    }
}

/// 16 bytes whose low nibbles are columns 0 to 15 and whose high ones are 16 to 31.
#[inline(always)]
fn nibbles(bytes: &[u8]) -> [u32; 8] {
    std::array::from_fn(|quad| word(bytes, quad % 4 * 4) >> (quad / 4 * 4) & LOW)
}

/// Adds to each column's code its bit of `bits` as the fifth.
#[inline(always)]
fn fifth_bits(quads: [u32; 8], bits: u32) -> [u32; 8] {
    std::array::from_fn(|quad| {
        // A multiplication spreads four bits to the lowest bits of four bytes.
        let spread = ((bits >> (4 * quad)) & 0x0f).wrapping_mul(0x0020_4081) & 0x0101_0101;
        quads[quad] | spread << 4
    })
}

/// Writes the scales of one file block of one row: `block` is the block's place in the segment (0 for the formats
/// whose file blocks are segments).
#[inline(always)]
fn write_scales(format: Format, source: &[u8], block: usize, row: usize, out: &mut [u8]) {
    let mut half = |at: usize, from: usize| {
        out[at + row * 2..at + row * 2 + 2].copy_from_slice(&source[from..from + 2]);
    };
    match format.scales() {
        Scales::Half => half(block * 32, 0),
        Scales::HalfAndMinimum => {
            half(block * 64, 0);
            half(block * 64 + 32, 2);
        }
        Scales::SixBitAndMinimum => {
            half(0, 0);
            half(32, 2);
            for block in 0..SEGMENT_BLOCKS {
                let (scale, minimum) = six_bit(&source[4..16], block);
                out[64 + block * 16 + row] = scale;
                out[192 + block / 2 * 32 + row * 2 + block % 2] = minimum;
            }
        }
        Scales::EightBitHalves => {
            half(0, 208);
            for (half, factor) in source[192..208].iter().enumerate() {
                out[32 + half * 16 + row] = *factor;
            }
        }
    }
}

/// The 6-bit factors of block `block`: of the scale and of the minimum.
#[inline(always)]
fn six_bit(bytes: &[u8], block: usize) -> (u8, u8) {
    if block < 4 {
        (bytes[block] & 63, bytes[block + 4] & 63)
    } else {
        let low = bytes[block + 4];
        (low & 15 | bytes[block - 4] >> 6 << 4, low >> 4 | bytes[block] >> 6 << 4)
    }
}

/// Packs the file's rows `source` (up to 16, each of `columns` elements) into the zeroed panel `out`.
pub fn pack_panel(format: Format, source: &[u8], columns: usize, out: &mut [u8]) {
    // Every format gets its own copy of the loops, with all its sizes known.
    match format {
        Format::Q4_0 => pack_rows(Format::Q4_0, source, columns, out),
        Format::Q4_1 => pack_rows(Format::Q4_1, source, columns, out),
        Format::Q5_0 => pack_rows(Format::Q5_0, source, columns, out),
        Format::Q5_1 => pack_rows(Format::Q5_1, source, columns, out),
        Format::Q8_0 => pack_rows(Format::Q8_0, source, columns, out),
        Format::Q4_K => pack_rows(Format::Q4_K, source, columns, out),
        Format::Q5_K => pack_rows(Format::Q5_K, source, columns, out),
        Format::Q6_K => pack_rows(Format::Q6_K, source, columns, out),
    }
}

#[inline(always)]
fn pack_rows(format: Format, source: &[u8], columns: usize, out: &mut [u8]) {
    let row_bytes = columns / format.source_columns() * format.source_bytes();
    let blocks_in_source = format.source_columns() / 32;
    let code_bytes = format.codes().bytes();
    let full = format.segment_bytes(SEGMENT_BLOCKS);
    for (row, bytes) in source.chunks_exact(row_bytes).take(PANEL_ROWS).enumerate() {
        for (index, bytes) in bytes.chunks_exact(format.source_bytes()).enumerate() {
            let first = index * blocks_in_source;
            let in_segment = first % SEGMENT_BLOCKS;
            let segment = first / SEGMENT_BLOCKS;
            let blocks = (columns / 32 - segment * SEGMENT_BLOCKS).min(SEGMENT_BLOCKS);
            let (codes, scales) = out[segment * full..].split_at_mut(blocks * code_bytes);
            let codes = &mut codes[in_segment * code_bytes..][..blocks_in_source * code_bytes];
            for (block, planes) in codes.chunks_exact_mut(code_bytes).enumerate() {
                write_codes(format.codes(), read_codes(format, bytes, block), row, planes);
            }
            write_scales(format, bytes, in_segment, row, scales);
        }
    }
}

/// Packs up to 16 rows of `columns` f32 into the zeroed panel `out`: `[column][16]`.
pub fn pack_f32(source: &[u8], columns: usize, out: &mut [u8]) {
    for (row, bytes) in source.chunks_exact(columns * 4).take(PANEL_ROWS).enumerate() {
        for (values, value) in out.chunks_exact_mut(4 * PANEL_ROWS).zip(bytes.chunks_exact(4)) {
            values[row * 4..row * 4 + 4].copy_from_slice(value);
        }
    }
}

/// Packs all panels, shared among `threads` threads.
pub fn pack_all(tensor: &Tensor, format: Option<Format>, panel_bytes: usize, out: &mut [u8], threads: usize) {
    let panels = out.len() / panel_bytes;
    let share = panels.div_ceil(threads).max(1);
    let pack_share = |first: usize, out: &mut [u8]| {
        let source_bytes = PANEL_ROWS * tensor.row_bytes();
        let mut released = first * source_bytes;
        for (index, out) in out.chunks_exact_mut(panel_bytes).enumerate() {
            let start = (first + index) * source_bytes;
            let source = &tensor.data()[start..tensor.data().len().min(start + source_bytes)];
            match format {
                Some(format) => pack_panel(format, source, tensor.columns(), out),
                None if tensor.kind == TensorType::F32 => pack_f32(source, tensor.columns(), out),
                None => int16::pack_panel(tensor.kind, source, tensor.columns(), out),
            }
            let done = start + source.len();
            if done - released >= RELEASE_BYTES {
                tensor.file.release(tensor.bytes.start + released..tensor.bytes.start + done);
                released = done;
            }
        }
        let done = tensor.data().len().min(first * source_bytes + out.len() / panel_bytes * source_bytes);
        tensor.file.release(tensor.bytes.start + released..tensor.bytes.start + done);
    };
    if threads == 1 || panels == 1 {
        pack_share(0, out);
        return;
    }
    std::thread::scope(|scope| {
        for (index, out) in out.chunks_mut(share * panel_bytes).enumerate() {
            let pack_share = &pack_share;
            scope.spawn(move || pack_share(index * share, out));
        }
    });
}
