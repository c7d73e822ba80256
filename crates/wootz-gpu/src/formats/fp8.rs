//! Eight-bit floats (OCP 8-bit Floating Point Specification), with f32 scales.

use super::{Arrays, scale_at};
use crate::kernels::matrix::{Fp8, Fp8Scales, ScaleType};

/// `scale · float`, the scale that of the row or of the square of 128x128.
pub(super) fn decode(kind: Fp8, scales: Fp8Scales, arrays: Arrays<'_>, columns: usize, out: &mut [f32]) {
    for (index, out) in out.iter_mut().enumerate() {
        let (row, column) = (index / columns, index % columns);
        let place = match scales {
            Fp8Scales::Row => row,
            Fp8Scales::Block128 => row / 128 * columns.div_ceil(128) + column / 128,
        };
        *out = scale_at(ScaleType::F32, arrays.scales, place) * float(kind, arrays.data[index]);
    }
}

/// The value of a byte.
fn float(kind: Fp8, byte: u8) -> f32 {
    match kind {
        Fp8::E5M2 => half::f16::from_bits(u16::from(byte) << 8).to_f32(),
        Fp8::E4M3 => {
            let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
            let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
            let magnitude = match (exponent, byte & 7) {
                (15, 7) => f32::NAN,
                (0, _) => mantissa / 8.0 * 2.0_f32.powi(-6),
                _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7),
            };
            sign * magnitude
        }
    }
}
