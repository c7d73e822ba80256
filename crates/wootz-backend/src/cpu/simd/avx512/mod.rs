//! The matrix kernels for AVX-512 with VNNI (and BF16 where it is there).

mod dense;
mod few;
pub mod peak;
mod planes;
mod quantize;
mod tile;
mod unpack;

use std::ops::Range;

use super::isa::Avx512;
use crate::cpu::matmul::format::{Format, Scheme, Segment};
use crate::cpu::matmul::input::{Bf16Cell, F32Cell, Input, InputKind, Int8Cell};
use crate::cpu::matmul::kernels::{Kernels, Lanes, PackedPanel};
use crate::cpu::matmul::unpack::UnpackedPanel;

impl Kernels for Avx512 {
    fn quantize(&self, kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
        // SAFETY: the token proves the features.
        unsafe { quantize::quantize(kind, values, cell) }
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

    fn multiply_packed(
        &self,
        format: Format,
        panel: PackedPanel<'_>,
        input: &Input,
        rows: Range<usize>,
        sums: &mut [Lanes],
    ) -> bool {
        // SAFETY: the token proves the features.
        unsafe { few::multiply(format, panel, input, rows, sums) }
    }

    fn multiply_f32(&self, cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
        // SAFETY: the token proves the features.
        unsafe { dense::multiply_f32(cells, panels, sums) }
    }

    fn multiply_bf16(&self, cells: &[Bf16Cell], panels: &[&[u16]], sums: &mut [Lanes]) {
        if self.bf16() {
            // SAFETY: the token proves the features, and `bf16()` that AVX512_BF16 is one of them.
            unsafe { dense::multiply_bf16(cells, panels, sums) }
        } else {
            // SAFETY: the token proves the features.
            unsafe { dense::multiply_bf16_widened(cells, panels, sums) }
        }
    }
}
