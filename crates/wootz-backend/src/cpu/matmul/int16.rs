//! F16 and BF16 matrices as 16-bit integers.
//!
//! A segment of 256 columns of a row is its largest magnitude / 4095 as an f32 scale, and integers of 13 bits; the
//! activations are integers of 15 bits. 32 products then fit 32 bits, so sums are exact, one answer everywhere. The
//! step is 1/8190 of a segment's largest weight, as fine as f16 itself for all but the smallest weights, where bf16
//! products would round every *activation* to 1/512. It is fast where bf16 is not: the 16-bit dot product runs at the
//! full rate of every vector unit, and bf16 instructions are slower than f32 ones on some processors.
//!
//! A panel's segment is `[column pair][16 rows][2]` i16, padded to blocks of 32 columns, then `[16]` f32 scales.

use bytemuck::{Pod, Zeroable};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use wootz_weights::tensor::TensorType;

use super::format::{BLOCK_COLUMNS, PANEL_ROWS, SEGMENT_COLUMNS};
use super::input::SMALLEST;
use super::kernels::Lanes;

/// The largest weight. 4095 · 16383 · 32 is the largest sum of a block, and fits 32 bits.
const LARGEST_WEIGHT: f32 = 4095.0;
/// The largest activation.
pub const LARGEST_VALUE: f32 = 16383.0;
/// 16-bit words of a block of a panel.
const BLOCK_WORDS: usize = PANEL_ROWS * BLOCK_COLUMNS;
/// Added to a float of magnitude below 2²², it rounds it to a whole number, ties to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// 256 columns of one row of the input.
#[derive(Debug, Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
pub struct Int16Cell {
    /// The values, −16383 to 16383.
    pub quants: [i16; SEGMENT_COLUMNS],
    /// What one of them is worth.
    pub scale: f32,
    /// Fills the last cache line.
    pub unused: [f32; 15],
}

/// One segment of a panel.
#[derive(Debug, Clone, Copy)]
pub struct Int16Segment<'a> {
    /// `[column pair][16][2]`, whole blocks.
    pub words: &'a [i16],
    /// `[16]`: what a one of each row is worth.
    pub scales: &'a [f32],
}

/// Bytes of a panel of `columns` columns.
pub const fn panel_bytes(columns: usize) -> usize {
    columns.div_ceil(BLOCK_COLUMNS) * BLOCK_WORDS * 2 + columns.div_ceil(SEGMENT_COLUMNS) * PANEL_ROWS * 4
}

/// Segment `index` of a panel.
pub fn segment(panel: &[u8], columns: usize, index: usize) -> Int16Segment<'_> {
    let blocks = (columns - index * SEGMENT_COLUMNS).min(SEGMENT_COLUMNS).div_ceil(BLOCK_COLUMNS);
    let start = index * panel_bytes(SEGMENT_COLUMNS);
    let (words, scales) = panel[start..].split_at(blocks * BLOCK_WORDS * 2);
    Int16Segment {
        words: bytemuck::cast_slice(words),
        scales: bytemuck::cast_slice(&scales[..PANEL_ROWS * 4]),
    }
}

/// The scale that makes `largest` the largest integer of `values`, and its inverse. NaN and infinity pass on to the
/// scale, and so to the result.
fn scale(values: &[f32], largest: f32) -> (f32, f32) {
    // As integers, the magnitudes of floats have the same order, with NaN above all.
    let top = f32::from_bits(values.iter().map(|v| v.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
    (top / largest, if top < SMALLEST { 0.0 } else { largest / top })
}

/// The whole number nearest to `value`, below 2²².
fn round(value: f32) -> i16 {
    ((value + ROUND).to_bits().wrapping_sub(ROUND.to_bits())) as i16
}

/// Quantises up to 256 activations; the rest of their last block becomes zeros.
pub fn quantize(values: &[f32], cell: &mut Int16Cell) {
    let (scale, inverse) = scale(values, LARGEST_VALUE);
    cell.scale = scale;
    let padded = values.len().next_multiple_of(BLOCK_COLUMNS);
    cell.quants[values.len()..padded].fill(0);
    for (quant, value) in cell.quants.iter_mut().zip(values) {
        *quant = round(value * inverse);
    }
}

/// Packs up to 16 rows of `columns` f16 or bf16 into the zeroed panel `out`.
pub fn pack_panel(kind: TensorType, source: &[u8], columns: usize, out: &mut [u8]) {
    let mut floats = [0.0; SEGMENT_COLUMNS];
    for (row, bytes) in source.chunks_exact(columns * 2).take(PANEL_ROWS).enumerate() {
        let segments = out.chunks_mut(panel_bytes(SEGMENT_COLUMNS));
        for (bytes, out) in bytes.chunks(SEGMENT_COLUMNS * 2).zip(segments) {
            let floats = &mut floats[..bytes.len() / 2];
            read_floats(kind, bytes, floats);
            let (scale, inverse) = scale(floats, LARGEST_WEIGHT);
            let (words, scales) = out.split_at_mut(floats.len().div_ceil(BLOCK_COLUMNS) * BLOCK_WORDS * 2);
            scales[row * 4..row * 4 + 4].copy_from_slice(&scale.to_ne_bytes());
            let words = words.chunks_exact_mut(PANEL_ROWS * 4);
            for (pair, words) in floats.chunks(2).zip(words) {
                let pair = [round(pair[0] * inverse), round(pair.get(1).unwrap_or(&0.0) * inverse)];
                words[row * 4..row * 4 + 4].copy_from_slice(bytemuck::bytes_of(&pair));
            }
        }
    }
}

/// The elements of `bytes` as f32.
fn read_floats(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    if kind == TensorType::BF16 {
        for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *value = bf16::from_le_bytes(*bytes).to_f32();
        }
        return;
    }
    let mut halves = [f16::ZERO; SEGMENT_COLUMNS];
    for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *half = f16::from_le_bytes(*bytes);
    }
    halves[..out.len()].convert_to_f32_slice(out);
}

/// Row `row` of a segment as f32.
pub fn dequantize(segment: Int16Segment<'_>, row: usize, out: &mut [f32]) {
    for (column, value) in out.iter_mut().enumerate() {
        *value =
            segment.scales[row] * f32::from(segment.words[(column / 2 * PANEL_ROWS + row) * 2 + column % 2]);
    }
}

/// The scalar twin: adds to `sums` (`[panel][row]`) the products of one segment of each panel with each row's cell.
/// `part = Σ_blocks Σwx`, then `acc += part · (s · dx)`.
pub fn multiply(cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
    for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len())) {
        for (cell, sums) in cells.iter().zip(sums) {
            let mut part = [0.0; PANEL_ROWS];
            for (words, values) in
                panel.words.chunks_exact(BLOCK_WORDS).zip(cell.quants.chunks_exact(BLOCK_COLUMNS))
            {
                let mut exact = [0_i32; PANEL_ROWS];
                for (words, values) in words.chunks_exact(2 * PANEL_ROWS).zip(values.chunks_exact(2)) {
                    for (sum, words) in exact.iter_mut().zip(words.chunks_exact(2)) {
                        *sum += i32::from(words[0]) * i32::from(values[0])
                            + i32::from(words[1]) * i32::from(values[1]);
                    }
                }
                part.iter_mut().zip(exact).for_each(|(part, sum)| *part += sum as f32);
            }
            for row in 0..PANEL_ROWS {
                sums[row] = part[row].mul_add(panel.scales[row] * cell.scale, sums[row]);
            }
        }
    }
}
