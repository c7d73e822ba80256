//! Activations as the kernels read them: quantised once an op, then shared by all its matrices and threads.
//!
//! A row is cut along the columns in chunks; the cells of one chunk lie one after another, row by row, so that a tile
//! of rows reads memory in order.

use std::ops::Range;

use super::format::{BLOCK_COLUMNS, SEGMENT_COLUMNS};
use super::int16::Int16Cell;
use crate::cpu::simd::{Isa, Shared};

/// Columns of a cell of int8 activations.
pub const INT8_CHUNK: usize = 512;
/// A group whose largest magnitude is below this is taken for zeros.
pub const SMALLEST: f32 = 1e-30;
/// Columns of a cell of f32 or int16 activations.
pub const DENSE_CHUNK: usize = 256;

/// The form in which a matrix wants its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// Plain f32.
    F32,
    /// Int16 with a scale each 256 columns.
    Int16,
    /// Int8 with a scale each 32 columns.
    Int8Block32,
    /// Int8 with a scale each 256 columns.
    Int8Block256,
}

/// 512 columns of one row as int8, with what the formats need to know of them.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub struct Int8Cell {
    /// The values, −127 to 127.
    pub quants: [i8; INT8_CHUNK],
    /// The activation scales: one a block, or (in the first two) one a segment.
    pub scales: [f32; 16],
    /// −128 times the sum of the values of each block: what starts the integer accumulator of a centred format.
    pub negated: [i32; 16],
    /// −128 times the sum of the values of each half block.
    pub negated_halves: [i32; 32],
    /// Scale times sum of each block.
    pub weighted: [f32; 16],
    /// The sum of the values of each block.
    pub sums: [i16; 16],
    /// The sum of the values of each half block.
    pub sum_halves: [i16; 32],
    /// Fills the last cache line.
    pub unused: [i16; 16],
}

/// 256 columns of one row as f32.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub struct F32Cell {
    /// The values.
    pub values: [f32; DENSE_CHUNK],
}

#[derive(Debug)]
enum Cells {
    F32(Shared<F32Cell>),
    Int16(Shared<Int16Cell>),
    Int8(Shared<Int8Cell>),
}

/// A buffer for the input rows of one or more matrices of the same [`InputKind`].
#[derive(Debug)]
pub struct Input {
    isa: Isa,
    kind: InputKind,
    rows: usize,
    columns: usize,
    cells: Cells,
}

impl Input {
    /// A buffer of the given kind for up to `rows` rows of up to `columns` columns.
    ///
    /// # Errors
    /// When the operating system has no room for it.
    pub fn new(isa: Isa, kind: InputKind, rows: usize, columns: usize) -> std::io::Result<Self> {
        let dense = rows * columns.div_ceil(DENSE_CHUNK);
        let cells = match kind {
            InputKind::F32 => Cells::F32(Shared::zeroed(dense)?),
            InputKind::Int16 => Cells::Int16(Shared::zeroed(dense)?),
            InputKind::Int8Block32 | InputKind::Int8Block256 => {
                Cells::Int8(Shared::zeroed(rows * columns.div_ceil(INT8_CHUNK))?)
            }
        };
        Ok(Self { isa, kind, rows, columns, cells })
    }

    /// Its kind.
    pub fn kind(&self) -> InputKind {
        self.kind
    }

    /// How many rows it can hold.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns its rows can have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        match &self.cells {
            Cells::F32(cells) => cells.bytes(),
            Cells::Int16(cells) => cells.bytes(),
            Cells::Int8(cells) => cells.bytes(),
        }
    }

    /// Converts `values` to row `row`. Threads may write different rows in one phase; matrices read them in later
    /// phases. The result depends on `values` only, not on the row's place or the instruction set.
    ///
    /// For the int8 kinds the length must be a multiple of 32, for [`InputKind::Int8Block256`] of 256.
    pub fn write_row(&self, row: usize, values: &[f32]) {
        assert!(row < self.rows && values.len() <= self.columns, "row {row} of {} columns", values.len());
        match &self.cells {
            Cells::F32(cells) => {
                for (chunk, part) in values.chunks(DENSE_CHUNK).enumerate() {
                    let at = chunk * self.rows + row;
                    cells.write(at..at + 1)[0].values[..part.len()].copy_from_slice(part);
                }
            }
            Cells::Int16(cells) => {
                for (chunk, part) in values.chunks(DENSE_CHUNK).enumerate() {
                    let at = chunk * self.rows + row;
                    super::kernels::kernels(&self.isa).quantize_int16(part, &mut cells.write(at..at + 1)[0]);
                }
            }
            Cells::Int8(cells) => {
                let group = if self.kind == InputKind::Int8Block32 { BLOCK_COLUMNS } else { SEGMENT_COLUMNS };
                assert!(values.len().is_multiple_of(group), "{} columns in groups of {group}", values.len());
                for (chunk, part) in values.chunks(INT8_CHUNK).enumerate() {
                    let at = chunk * self.rows + row;
                    super::kernels::kernels(&self.isa).quantize(
                        self.kind,
                        part,
                        &mut cells.write(at..at + 1)[0],
                    );
                }
            }
        }
    }

    /// The int8 cells of chunk `chunk` of rows `rows`.
    pub(crate) fn int8_chunk(&self, chunk: usize, rows: Range<usize>) -> &[Int8Cell] {
        let Cells::Int8(cells) = &self.cells else { unreachable!("checked by matmul: the input is int8") };
        cells.read(chunk * self.rows + rows.start..chunk * self.rows + rows.end)
    }

    /// The f32 cells of chunk `chunk` of rows `rows`.
    pub(crate) fn f32_chunk(&self, chunk: usize, rows: Range<usize>) -> &[F32Cell] {
        let Cells::F32(cells) = &self.cells else { unreachable!("checked by matmul: the input is f32") };
        cells.read(chunk * self.rows + rows.start..chunk * self.rows + rows.end)
    }

    /// The int16 cells of chunk `chunk` of rows `rows`.
    pub(crate) fn int16_chunk(&self, chunk: usize, rows: Range<usize>) -> &[Int16Cell] {
        let Cells::Int16(cells) = &self.cells else { unreachable!("checked by matmul: the input is int16") };
        cells.read(chunk * self.rows + rows.start..chunk * self.rows + rows.end)
    }
}

/// The scalar twin of quantising: symmetric, to the nearest, ties to even. A NaN or an infinity makes its group's
/// scale NaN or infinite, so that it reaches the result.
pub fn quantize(kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
    let group = if kind == InputKind::Int8Block32 { BLOCK_COLUMNS } else { SEGMENT_COLUMNS };
    for (index, part) in values.chunks(group).enumerate() {
        // As integers, the magnitudes of floats have the same order, with NaN above all.
        let largest = f32::from_bits(part.iter().map(|v| v.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
        // So small a magnitude counts as zero: its inverse would overflow.
        let inverse = if largest < SMALLEST { 0.0 } else { 127.0 / largest };
        cell.scales[index] = largest / 127.0;
        for (quant, value) in cell.quants[index * group..].iter_mut().zip(part) {
            *quant = (value * inverse).round_ties_even() as i8;
        }
    }
    for half in 0..values.len() / 16 {
        let sum = cell.quants[half * 16..half * 16 + 16].iter().map(|&q| i32::from(q)).sum::<i32>();
        cell.negated_halves[half] = -128 * sum;
        cell.sum_halves[half] = sum as i16;
    }
    for block in 0..values.len() / 32 {
        cell.negated[block] = cell.negated_halves[2 * block] + cell.negated_halves[2 * block + 1];
        cell.sums[block] = cell.sum_halves[2 * block] + cell.sum_halves[2 * block + 1];
        let scale = cell.scales[block * BLOCK_COLUMNS / group];
        cell.weighted[block] = scale * f32::from(cell.sums[block]);
    }
}
