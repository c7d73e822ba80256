//! A chunk of a panel as plain bytes and f32 scales: what the tile kernel multiplies, whatever the format.

use half::f16;

use super::format::{BLOCK_QUADS, Codes, Format, PANEL_ROWS, SEGMENT_BLOCKS, Scales, Segment};
use super::input::INT8_CHUNK;

/// Blocks of a chunk.
pub const CHUNK_BLOCKS: usize = INT8_CHUNK / 32;
/// Segments of a chunk.
pub const CHUNK_SEGMENTS: usize = CHUNK_BLOCKS / SEGMENT_BLOCKS;

/// 512 columns of a panel, unpacked. About 13 KiB: two of them stay in the first-level cache.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub struct UnpackedPanel {
    /// The codes, `[block][quad][row][column in quad]`; lifted so that 128 is zero unless the format has minima.
    pub quads: [[[u8; 64]; BLOCK_QUADS]; CHUNK_BLOCKS],
    /// The scale of each block, or of each half block.
    pub scales: [[f32; PANEL_ROWS]; 2 * CHUNK_BLOCKS],
    /// The factors of the minima, `[block pair][row][block in pair]`.
    pub factors: [[[i16; 2]; PANEL_ROWS]; CHUNK_BLOCKS],
    /// What to add: a minimum each block, or (negated) the scale of the minima each segment.
    pub minima: [[f32; PANEL_ROWS]; CHUNK_BLOCKS],
}

/// 16 consecutive f16 as f32.
fn halves(bytes: &[u8]) -> [f32; PANEL_ROWS] {
    std::array::from_fn(|row| f16::from_le_bytes([bytes[2 * row], bytes[2 * row + 1]]).to_f32())
}

/// The scalar twin of unpacking: `segment` becomes segment `at` (0 or 1) of `out`.
pub fn unpack(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    unpack_codes(format, segment, &mut out.quads[at * SEGMENT_BLOCKS..]);
    unpack_scales(format, segment, at, out);
}

/// The code of byte `byte` of quad `quad` in the planes of one block.
fn code(codes: Codes, block: &[u8], quad: usize, byte: usize) -> u8 {
    let nibble = || block[quad % 4 * 64 + byte] >> (quad / 4 * 4) & 0x0f;
    match codes {
        Codes::Bytes => block[quad * 64 + byte],
        Codes::Nibbles => nibble(),
        Codes::NibblesAndBit => nibble() | (block[256 + byte] >> quad & 1) << 4,
        Codes::NibblesAndPair => nibble() | (block[256 + quad / 4 * 64 + byte] >> (2 * (quad % 4)) & 3) << 4,
    }
}

fn unpack_codes(format: Format, segment: Segment<'_>, out: &mut [[[u8; 64]; BLOCK_QUADS]]) {
    let codes = format.codes();
    for (block, quads) in segment.codes.chunks_exact(codes.bytes()).zip(out) {
        for (quad, bytes) in quads.iter_mut().enumerate() {
            for (byte, value) in bytes.iter_mut().enumerate() {
                *value = code(codes, block, quad, byte) + format.lift();
            }
        }
    }
}

fn unpack_scales(format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
    let first = at * SEGMENT_BLOCKS;
    let bytes = segment.scales;
    match format.scales() {
        Scales::Half => {
            for block in 0..segment.blocks {
                out.scales[first + block] = halves(&bytes[block * 32..]);
            }
        }
        Scales::HalfAndMinimum => {
            for block in 0..segment.blocks {
                out.scales[first + block] = halves(&bytes[block * 64..]);
                out.minima[first + block] = halves(&bytes[block * 64 + 32..]);
            }
        }
        Scales::SixBitAndMinimum => {
            let scale = halves(bytes);
            out.minima[at] = halves(&bytes[32..]).map(|m| -m);
            for block in 0..SEGMENT_BLOCKS {
                let factors = &bytes[64 + block * 16..];
                out.scales[first + block] = std::array::from_fn(|row| scale[row] * f32::from(factors[row]));
            }
            for pair in 0..SEGMENT_BLOCKS / 2 {
                let factors = &bytes[192 + pair * 32..];
                out.factors[first / 2 + pair] =
                    std::array::from_fn(|row| [i16::from(factors[2 * row]), i16::from(factors[2 * row + 1])]);
            }
        }
        Scales::EightBitHalves => {
            let scale = halves(bytes);
            for half in 0..2 * SEGMENT_BLOCKS {
                let factors = &bytes[32 + half * 16..];
                out.scales[2 * first + half] =
                    std::array::from_fn(|row| scale[row] * f32::from(factors[row].cast_signed()));
            }
        }
    }
}

/// Dequantises row `row` of an unpacked segment `at` of `panel` into `out`, exactly as the file's format does.
pub fn dequantize(format: Format, panel: &UnpackedPanel, at: usize, row: usize, out: &mut [f32]) {
    let zero = format.zero() + format.lift();
    let group = if format.scheme().halves() { 16 } else { 32 };
    for (column, value) in out.iter_mut().enumerate() {
        let column = at * SEGMENT_BLOCKS * 32 + column;
        let block = column / 32;
        let code = panel.quads[block][column % 32 / 4][row * 4 + column % 4];
        let product = panel.scales[column / group][row] * f32::from(i16::from(code) - i16::from(zero));
        *value = match format.scales() {
            Scales::Half | Scales::EightBitHalves => product,
            Scales::HalfAndMinimum => product + panel.minima[block][row],
            Scales::SixBitAndMinimum => {
                product + panel.minima[at][row] * f32::from(panel.factors[block / 2][row][block % 2])
            }
        };
    }
}
