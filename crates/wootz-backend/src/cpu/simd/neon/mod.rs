//! The matrix kernels for 64-bit Arm: with widening products, dot products or int8 matrix products, whichever the
//! processor has.
//!
//! The layout of the panels is that of a 64-byte vector; here it is four registers, each of four panel rows.

mod base;
mod dense;
mod dots;
mod int16;
mod int8;
mod load;
pub mod peak;
mod quantize;
mod source;
mod tile;
mod tiling;
mod unpack;

use std::ops::Range;

use self::int8::{Few, Many};
use super::isa::{Integers, Neon};
use crate::cpu::matmul::format::{Format, Scheme, Segment};
use crate::cpu::matmul::input::{F32Cell, Input, InputKind, Int8Cell};
use crate::cpu::matmul::int16::{Int16Cell, Int16Segment};
use crate::cpu::matmul::kernels::{Kernels, Lanes, PackedPanel};
use crate::cpu::matmul::unpack::UnpackedPanel;

impl Kernels for Neon {
    fn quantize(&self, kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
        quantize::quantize(kind, values, cell);
    }

    fn unpack(&self, format: Format, segment: Segment<'_>, at: usize, out: &mut UnpackedPanel) {
        unpack::unpack(format, segment, at, out);
    }

    fn multiply(
        &self,
        scheme: Scheme,
        cells: &[Int8Cell],
        panels: &[UnpackedPanel],
        blocks: usize,
        sums: &mut [Lanes],
    ) {
        let many = Many { scheme, cells, panels, blocks, sums };
        match self.integers() {
            // SAFETY: every processor has these.
            Integers::Widening => unsafe { many.widening() },
            // SAFETY: the token proves the feature.
            Integers::Dots => unsafe { many.signed_dots() },
            // SAFETY: the token proves the feature.
            Integers::Matrices => unsafe { many.matrices() },
        }
    }

    fn multiply_packed(
        &self,
        format: Format,
        panel: PackedPanel<'_>,
        input: &Input,
        rows: Range<usize>,
        sums: &mut [Lanes],
    ) -> bool {
        if rows.len() > Few::ROWS {
            return false;
        }
        let few = Few { format, panel, input, rows, sums };
        match self.integers() {
            // SAFETY: every processor has these.
            Integers::Widening => unsafe { few.widening() },
            // So few rows are limited by reading and unpacking, which matrix products would make no easier.
            // SAFETY: the token proves the feature; whoever has matrix products has dot products.
            Integers::Dots | Integers::Matrices => unsafe { few.signed_dots() },
        }
        true
    }

    fn multiply_f32(&self, cells: &[F32Cell], panels: &[&[f32]], sums: &mut [Lanes]) {
        dense::multiply(cells, panels, sums);
    }

    fn multiply_int16(&self, cells: &[Int16Cell], panels: &[Int16Segment<'_>], sums: &mut [Lanes]) {
        int16::multiply(cells, panels, sums);
    }
}
