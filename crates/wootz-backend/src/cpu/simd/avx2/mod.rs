//! The matrix kernels for AVX2 with FMA: each 64-byte vector of the layout is two registers.

mod dense;
mod int16;
mod quantize;
mod tile;
mod unpack;

use super::isa::Avx2;
use crate::cpu::matmul::format::{Format, Scheme, Segment};
use crate::cpu::matmul::input::{F32Cell, InputKind, Int8Cell};
use crate::cpu::matmul::int16::{Int16Cell, Int16Segment};
use crate::cpu::matmul::kernels::{Kernels, Lanes};
use crate::cpu::matmul::unpack::UnpackedPanel;

impl Kernels for Avx2 {
    fn quantize(&self, kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
        // SAFETY: the token proves the features.
        unsafe { quantize::quantize(kind, values, cell) }
    }

    fn quantize_int16(&self, values: &[f32], cell: &mut Int16Cell) {
        // SAFETY: the token proves the features.
        unsafe { quantize::quantize_int16(values, cell) }
    }

    fn unpack(&self, format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
        // SAFETY: the token proves the features.
        unsafe { unpack::unpack(format, segment, at, out) }
    }

    fn multiply(
        &self,
        scheme: Scheme,
        cells: &[Int8Cell],
        panels: &[UnpackedPanel],
        blocks: usize,
        sums: &mut [Lanes],
    ) {
        // SAFETY: the token proves the features.
        unsafe { tile::multiply(scheme, cells, panels, blocks, sums) }
    }

    fn multiply_f32(&self, cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
        // SAFETY: the token proves the features.
        unsafe { dense::multiply_f32(cells, panels, sums) }
    }

    fn multiply_int16(&self, cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
        // SAFETY: the token proves the features.
        unsafe { int16::multiply(cells, panels, sums) }
    }
}
