//! Matrix times rows: where nearly all of a model's time goes.
//!
//! At load a matrix is repacked ([`PackedMatrix::pack`]) into panels of 16 rows, interleaved so that one vector of
//! the processor holds one number of each of the 16 ([`format`] draws the layout). At run time the input rows are
//! converted once ([`Input::write_row`]), and each thread multiplies its share of the panels
//! ([`PackedMatrix::multiply`]).
//!
//! **One answer.** An output does not depend on how many rows go together, on which thread computes it, or on the
//! instruction set: int8 products are summed exactly, and float operations are done in one fixed order
//! ([`kernels`] holds the scalar twin that defines it).
//!
//! Many rows: a chunk of two panels is unpacked to bytes that stay in the first-level cache and multiplied with all
//! rows, six at a time. Few rows: codes are unpacked in registers, and each byte of the weights is read once.

pub mod dense;
pub mod format;
pub mod input;
pub mod int16;
pub mod kernels;
pub mod pack;
pub mod storage;
pub mod unpack;

#[cfg(test)]
mod tests;

use std::ops::Range;

use thiserror::Error;
use wootz_weights::tensor::{Tensor, TensorType};

use self::format::{Format, PANEL_ROWS, SEGMENT_COLUMNS, segments};
use self::input::{DENSE_CHUNK, INT8_CHUNK};
pub use self::input::{Input, InputKind};
use self::kernels::{Lanes, PackedPanel, kernels};
use self::storage::WeightMemory;
use self::unpack::{CHUNK_BLOCKS, CHUNK_SEGMENTS, UnpackedPanel, dequantize};
use crate::cpu::simd::{Isa, Shared, SharedOut};

/// Up to so many rows are multiplied straight from the packed bytes, where the instruction set has such kernels.
const FEW_ROWS: usize = 8;
/// Rows that one pass of such a kernel takes.
const PASS_ROWS: usize = 4;
/// Panels unpacked at once.
const INT8_PANELS: usize = 2;
/// Dense panels multiplied at once.
const DENSE_PANELS: usize = 4;

/// Why a matrix cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The operating system has no room for the packed matrix.
    #[error("tensor {name}: no memory for its {bytes} bytes: {cause}")]
    Memory {
        /// The tensor's name.
        name: String,
        /// Bytes asked for.
        bytes: usize,
        /// What the system says.
        cause: std::io::Error,
    },
}

#[derive(Debug)]
enum Body {
    /// Panels of int8 or narrower codes.
    Int8(Format, WeightMemory),
    /// Panels `[column][16]` of f32.
    F32(WeightMemory),
    /// Panels of 16-bit integers.
    Int16(WeightMemory),
    /// The file's bytes, decoded at each use.
    Mapped(Tensor),
}

/// A matrix `[rows, columns]` ready to be multiplied: `out[r][o] = Σ_c matrix[o][c] · input[r][c]`.
#[derive(Debug)]
pub struct PackedMatrix {
    isa: Isa,
    rows: usize,
    columns: usize,
    body: Body,
}

/// What one thread needs to multiply; made once at start-up.
#[derive(Debug)]
pub struct Scratch {
    unpacked: Shared<UnpackedPanel>,
    decoded: Shared<f32>,
    sums: Shared<Lanes>,
}

impl Scratch {
    /// For up to `rows` input rows.
    ///
    /// # Errors
    /// When the operating system has no room for it.
    pub fn new(rows: usize) -> std::io::Result<Self> {
        Ok(Self {
            unpacked: Shared::zeroed(INT8_PANELS)?,
            decoded: Shared::zeroed(PANEL_ROWS * DENSE_CHUNK)?,
            sums: Shared::zeroed(DENSE_PANELS * rows)?,
        })
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.unpacked.bytes() + self.decoded.bytes() + self.sums.bytes()
    }
}

impl PackedMatrix {
    /// Repacks `tensor` with up to `threads` threads, and lets the pages of the file that it read leave memory.
    /// Types without a packed form stay in the file and are decoded at each use.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn pack(tensor: &Tensor, isa: Isa, threads: usize) -> Result<Self, PackError> {
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let format = Format::of(tensor.kind, columns);
        let panel_bytes = match (format, tensor.kind) {
            (Some(format), _) => format.panel_bytes(columns),
            (None, TensorType::F32) => PANEL_ROWS * columns * 4,
            (None, TensorType::F16 | TensorType::BF16) => int16::panel_bytes(columns),
            _ => return Ok(Self { isa, rows, columns, body: Body::Mapped(tensor.clone()) }),
        };
        let bytes = panel_bytes * rows.div_ceil(PANEL_ROWS);
        let mut memory = WeightMemory::zeroed(bytes).map_err(|cause| PackError::Memory {
            name: tensor.name.clone(),
            bytes,
            cause,
        })?;
        pack::pack_all(tensor, format, panel_bytes, &mut memory.bytes_mut()[..bytes], threads.max(1));
        let body = match (format, tensor.kind) {
            (Some(format), _) => Body::Int8(format, memory),
            (None, TensorType::F32) => Body::F32(memory),
            _ => Body::Int16(memory),
        };
        Ok(Self { isa, rows, columns, body })
    }

    /// Outputs: rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs: elements in a row of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Panels of 16 rows (the last may be partly empty): what threads share out.
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    /// A share of panels is best a multiple of this.
    pub fn panel_group(&self) -> usize {
        match self.body {
            Body::Int8(..) => INT8_PANELS,
            Body::F32(_) | Body::Int16(_) | Body::Mapped(_) => DENSE_PANELS,
        }
    }

    /// Bytes that one multiplication reads.
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Int8(format, _) => self.panels() * format.panel_bytes(self.columns),
            Body::F32(_) => self.panels() * PANEL_ROWS * self.columns * 4,
            Body::Int16(_) => self.panels() * int16::panel_bytes(self.columns),
            Body::Mapped(tensor) => tensor.data().len(),
        }
    }

    /// The form in which it wants its input.
    pub fn input_kind(&self) -> InputKind {
        match &self.body {
            Body::Int8(format, _) if format.scheme().segment_scale() => InputKind::Int8Block256,
            Body::Int8(..) => InputKind::Int8Block32,
            Body::Int16(_) => InputKind::Int16,
            Body::F32(_) | Body::Mapped(_) => InputKind::F32,
        }
    }

    /// Computes the outputs of `panels` for rows `0..rows` of `input`: columns `16 · panels.start ..` of the rows of
    /// `out`, with `bias[o]` added. Threads may do disjoint `panels` at once, each with its own `scratch`.
    ///
    /// # Panics
    /// If `input` is not of [`Self::input_kind`], or something has fewer rows or columns than it takes.
    pub fn multiply(
        &self,
        panels: Range<usize>,
        input: &Input,
        rows: usize,
        bias: Option<&[f32]>,
        out: &SharedOut<'_>,
        scratch: &mut Scratch,
    ) {
        assert_eq!(input.kind(), self.input_kind(), "the kind of the input");
        assert!(panels.end <= self.panels() && rows <= input.rows() && self.columns <= input.columns());
        assert!(DENSE_PANELS * rows <= scratch.sums.len() && bias.is_none_or(|bias| bias.len() == self.rows));
        let group = self.panel_group();
        for start in panels.clone().step_by(group) {
            let count = group.min(panels.end - start);
            let sums = scratch.sums.write(0..count * rows);
            sums.fill([0.0; PANEL_ROWS]);
            match &self.body {
                Body::Int8(format, memory) => {
                    self.multiply_int8(*format, memory, start, input, rows, &scratch.unpacked, sums);
                }
                Body::F32(_) | Body::Int16(_) | Body::Mapped(_) => {
                    self.multiply_dense(start..start + count, input, rows, &scratch.decoded, sums);
                }
            }
            for (panel, sums) in sums.chunks_exact(rows.max(1)).enumerate() {
                self.write(start + panel, sums, bias, out);
            }
        }
    }

    /// Writes the sums of one panel to its columns of `out`.
    fn write(&self, panel: usize, sums: &[Lanes], bias: Option<&[f32]>, out: &SharedOut<'_>) {
        let columns = panel * PANEL_ROWS..self.rows.min((panel + 1) * PANEL_ROWS);
        let mut biases = [0.0; PANEL_ROWS];
        if let Some(bias) = bias {
            biases[..columns.len()].copy_from_slice(&bias[columns.clone()]);
        }
        for (row, sums) in sums.iter().enumerate() {
            let out = out.row(row, columns.clone());
            let mut values = *sums;
            if bias.is_some() {
                for lane in 0..PANEL_ROWS {
                    values[lane] += biases[lane];
                }
            }
            // Whole arrays are moved in registers; only the last panel may be narrower.
            match <&mut [f32; PANEL_ROWS]>::try_from(&mut *out) {
                Ok(out) => *out = values,
                Err(_) => out.copy_from_slice(&values[..out.len()]),
            }
        }
    }

    /// The bytes of int8 panel `panel`.
    fn int8_panel<'a>(&self, format: Format, memory: &'a WeightMemory, panel: usize) -> PackedPanel<'a> {
        let bytes = format.panel_bytes(self.columns);
        PackedPanel { bytes: &memory.bytes()[panel * bytes..(panel + 1) * bytes], columns: self.columns }
    }

    /// The bytes of 16-bit panel `panel`.
    fn int16_panel<'a>(&self, memory: &'a WeightMemory, panel: usize) -> &'a [u8] {
        let bytes = int16::panel_bytes(self.columns);
        &memory.bytes()[panel * bytes..(panel + 1) * bytes]
    }

    #[allow(clippy::too_many_arguments)]
    fn multiply_int8(
        &self,
        format: Format,
        memory: &WeightMemory,
        start: usize,
        input: &Input,
        rows: usize,
        unpacked: &Shared<UnpackedPanel>,
        sums: &mut [Lanes],
    ) {
        let kernels = kernels(&self.isa);
        if rows <= FEW_ROWS && self.multiply_few(format, memory, start, input, rows, sums) {
            return;
        }
        let unpacked = unpacked.write(0..sums.len() / rows);
        let segment_bytes = format.segment_bytes(SEGMENT_COLUMNS / 32);
        for chunk in 0..self.columns.div_ceil(INT8_CHUNK) {
            let columns = (self.columns - chunk * INT8_CHUNK).min(INT8_CHUNK);
            for (index, unpacked) in unpacked.iter_mut().enumerate() {
                let bytes = &self.int8_panel(format, memory, start + index).bytes;
                let part = &bytes[chunk * CHUNK_SEGMENTS * segment_bytes..];
                for (at, segment) in segments(format, part, columns).enumerate() {
                    kernels.unpack(format, segment, at, unpacked);
                }
            }
            debug_assert!(columns / 32 <= CHUNK_BLOCKS);
            kernels.multiply(format.scheme(), input.int8_chunk(chunk, 0..rows), unpacked, columns / 32, sums);
        }
    }

    /// Multiplies a few rows without unpacking; false if the instruction set has no such kernel.
    fn multiply_few(
        &self,
        format: Format,
        memory: &WeightMemory,
        start: usize,
        input: &Input,
        rows: usize,
        sums: &mut [Lanes],
    ) -> bool {
        let kernels = kernels(&self.isa);
        // Passes of equal length: 5 rows are 3 and 2, not 4 and 1.
        let pass = rows.div_ceil(rows.div_ceil(PASS_ROWS).max(1)).max(1);
        for (index, sums) in sums.chunks_exact_mut(rows.max(1)).enumerate() {
            let panel = self.int8_panel(format, memory, start + index);
            for first in (0..rows).step_by(pass) {
                let some = first..rows.min(first + pass);
                if !kernels.multiply_packed(format, panel, input, some.clone(), &mut sums[some]) {
                    return false;
                }
            }
        }
        true
    }

    fn multiply_dense(
        &self,
        panels: Range<usize>,
        input: &Input,
        rows: usize,
        decoded: &Shared<f32>,
        sums: &mut [Lanes],
    ) {
        let kernels = kernels(&self.isa);
        for chunk in 0..self.columns.div_ceil(DENSE_CHUNK) {
            let first = chunk * DENSE_CHUNK;
            let columns = (self.columns - first).min(DENSE_CHUNK);
            match &self.body {
                Body::Int8(..) => unreachable!("int8 panels are multiplied by multiply_int8"),
                Body::F32(memory) => {
                    let all: &[f32] = bytemuck::cast_slice(&memory.bytes()[..self.bytes()]);
                    let part =
                        |p: usize| &all[(p * self.columns + first) * PANEL_ROWS..][..columns * PANEL_ROWS];
                    let parts: [&[f32]; DENSE_PANELS] =
                        std::array::from_fn(|i| part(panels.end.min(panels.start + i + 1) - 1));
                    kernels.multiply_f32(input.f32_chunk(chunk, 0..rows), &parts[..panels.len()], sums);
                }
                Body::Int16(memory) => {
                    let part = |panel| int16::segment(self.int16_panel(memory, panel), self.columns, chunk);
                    let parts: [_; DENSE_PANELS] =
                        std::array::from_fn(|i| part((panels.start + i).min(panels.end - 1)));
                    kernels.multiply_int16(input.int16_chunk(chunk, 0..rows), &parts[..panels.len()], sums);
                }
                Body::Mapped(tensor) => {
                    let decoded = decoded.write(0..columns * PANEL_ROWS);
                    for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(rows.max(1))) {
                        dense::decode_panel(tensor, panel, first..first + columns, decoded);
                        kernels.multiply_f32(input.f32_chunk(chunk, 0..rows), &[&*decoded], sums);
                    }
                }
            }
        }
    }

    /// Row `index` as f32: exactly the file's values, but for f16 and bf16 files ([`int16`]). For tables that are also
    /// used as matrices.
    pub fn row(&self, index: usize, out: &mut [f32], scratch: &mut Scratch) {
        assert!(index < self.rows && out.len() == self.columns, "row {index} of {}", self.rows);
        let (panel, lane) = (index / PANEL_ROWS, index % PANEL_ROWS);
        match &self.body {
            Body::Int8(format, memory) => {
                let panel = self.int8_panel(*format, memory, panel);
                let unpacked = &mut scratch.unpacked.write(0..1)[0];
                let parts = segments(*format, panel.bytes, self.columns).zip(out.chunks_mut(SEGMENT_COLUMNS));
                for (segment, out) in parts {
                    kernels(&self.isa).unpack(*format, segment, 0, unpacked);
                    dequantize(*format, unpacked, 0, lane, out);
                }
            }
            Body::F32(memory) => {
                let all: &[f32] = bytemuck::cast_slice(&memory.bytes()[..self.bytes()]);
                let panel = &all[panel * self.columns * PANEL_ROWS..];
                for (value, weights) in out.iter_mut().zip(panel.chunks_exact(PANEL_ROWS)) {
                    *value = weights[lane];
                }
            }
            Body::Int16(memory) => {
                for (index, out) in out.chunks_mut(SEGMENT_COLUMNS).enumerate() {
                    let panel = self.int16_panel(memory, panel);
                    int16::dequantize(int16::segment(panel, self.columns, index), lane, out);
                }
            }
            Body::Mapped(tensor) => tensor.kind.dequantize(tensor.row(index), out),
        }
    }
}
