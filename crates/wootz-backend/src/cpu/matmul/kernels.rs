//! The seam between this module and the instruction sets: what a kernel set computes, and its scalar twin.

use std::ops::Range;

use super::dense;
use super::format::{Format, PANEL_ROWS, SEGMENT_BLOCKS, Scheme, Segment};
use super::input::{self, F32Cell, Input, InputKind, Int8Cell};
use super::int16::{self, Int16Cell, Int16Segment};
use super::unpack::{self, UnpackedPanel};
use crate::cpu::simd::Isa;

/// The bytes of a panel and the number of its columns.
#[derive(Debug, Clone, Copy)]
pub struct PackedPanel<'a> {
    /// Its segments, one after another.
    pub bytes: &'a [u8],
    /// Elements in a row.
    pub columns: usize,
}

/// The accumulators of one row and one panel: one f32 an output.
pub type Lanes = [f32; PANEL_ROWS];

/// The matrix kernels of an instruction set. Every provided method is the scalar twin; what an instruction set
/// overrides must give the same bits.
pub trait Kernels: Sync {
    /// Quantises up to 512 `values` into `cell`.
    fn quantize(&self, kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
        input::quantize(kind, values, cell);
    }

    /// Quantises up to 256 `values` into `cell`.
    fn quantize_int16(&self, values: &[f32], cell: &mut Int16Cell) {
        int16::quantize(values, cell);
    }

    /// Unpacks `segment` as segment `at` (0 or 1) of `out`.
    fn unpack(&self, format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
        unpack::unpack(format, segment, at, out);
    }

    /// Adds to `sums` (`[panel][row]`) the products of the first `blocks` blocks of each panel with each row's cell.
    fn multiply(
        &self,
        scheme: Scheme,
        cells: &[Int8Cell],
        panels: &[UnpackedPanel],
        blocks: usize,
        sums: &mut [Lanes],
    ) {
        for (panel, sums) in panels.iter().zip(sums.chunks_exact_mut(cells.len())) {
            for (cell, sums) in cells.iter().zip(sums) {
                multiply(scheme, cell, panel, blocks, sums);
            }
        }
    }

    /// Sets `sums` to the products of a whole panel, straight from its packed bytes, with the few rows `rows` of
    /// `input`. Returns whether this instruction set has such a kernel for so many rows; if not, nothing is done.
    fn multiply_packed(
        &self,
        format: Format,
        panel: PackedPanel<'_>,
        input: &Input,
        rows: Range<usize>,
        sums: &mut [Lanes],
    ) -> bool {
        let _ = (format, panel, input, rows, sums);
        false
    }

    /// Adds to `sums` (`[panel][row]`) the products of a chunk of f32 columns: `panels[p]` is `[column][16]`.
    fn multiply_f32(&self, cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
        dense::multiply_f32(cells, panels, sums);
    }

    /// Adds to `sums` (`[panel][row]`) the products of one segment of each panel with each row's cell.
    fn multiply_int16(&self, cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
        int16::multiply(cells, panels, sums);
    }
}

/// The scalar kernels.
struct Scalar;

impl Kernels for Scalar {}

/// The kernels of `isa`.
pub fn kernels(isa: &Isa) -> &dyn Kernels {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(token) => token,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(token) => token,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(token) => token,
        _ => &Scalar,
    }
}

/// `Σ u·x` of the 4 columns of each quad in `quads` (counted from the chunk's start), for each row of the panel.
fn integer_sums(cell: &Int8Cell, panel: &UnpackedPanel, quads: Range<usize>) -> [i32; PANEL_ROWS] {
    let mut sums = [0; PANEL_ROWS];
    for quad in quads {
        let codes = &panel.quads[quad / 8][quad % 8];
        for (row, sum) in sums.iter_mut().enumerate() {
            for column in 0..4 {
                *sum += i32::from(codes[row * 4 + column]) * i32::from(cell.quants[quad * 4 + column]);
            }
        }
    }
    sums
}

/// `lanes = factors · scale + lanes`, with one rounding.
fn accumulate(lanes: &mut Lanes, factors: Lanes, scale: Lanes) {
    for row in 0..PANEL_ROWS {
        lanes[row] = factors[row].mul_add(scale[row], lanes[row]);
    }
}

/// The scalar twin of one row and one panel. The order of its float operations is what every kernel keeps.
fn multiply(scheme: Scheme, cell: &Int8Cell, panel: &UnpackedPanel, blocks: usize, sums: &mut Lanes) {
    if scheme.segment_scale() {
        for segment in 0..blocks.div_ceil(SEGMENT_BLOCKS) {
            let part = segment_part(scheme, cell, panel, segment);
            accumulate(sums, part, [cell.scales[segment]; PANEL_ROWS]);
        }
        return;
    }
    for block in 0..blocks {
        let start = if scheme == Scheme::Centred32 { cell.negated[block] } else { 0 };
        let dots = integer_sums(cell, panel, block * 8..block * 8 + 8).map(|sum| (sum + start) as f32);
        accumulate(sums, dots, panel.scales[block].map(|scale| scale * cell.scales[block]));
        if scheme == Scheme::Minimum32 {
            accumulate(sums, panel.minima[block], [cell.weighted[block]; PANEL_ROWS]);
        }
    }
}

/// What segment `segment` of the chunk gives, before the activation scale.
fn segment_part(scheme: Scheme, cell: &Int8Cell, panel: &UnpackedPanel, segment: usize) -> Lanes {
    let mut part = [0.0; PANEL_ROWS];
    if scheme == Scheme::CentredHalves256 {
        for half in segment * 16..segment * 16 + 16 {
            let start = cell.negated_halves[half];
            let dots = integer_sums(cell, panel, half * 4..half * 4 + 4).map(|sum| (sum + start) as f32);
            accumulate(&mut part, dots, panel.scales[half]);
        }
        return part;
    }
    for block in segment * 8..segment * 8 + 8 {
        let dots = integer_sums(cell, panel, block * 8..block * 8 + 8).map(|sum| sum as f32);
        accumulate(&mut part, dots, panel.scales[block]);
    }
    let mut minima = [0; PANEL_ROWS];
    for block in segment * 8..segment * 8 + 8 {
        for (row, minimum) in minima.iter_mut().enumerate() {
            *minimum += i32::from(panel.factors[block / 2][row][block % 2]) * i32::from(cell.sums[block]);
        }
    }
    accumulate(&mut part, minima.map(|minimum| minimum as f32), panel.minima[segment]);
    part
}
