//! MLX's affine formats: `scale · q + bias`.

use super::{Arrays, scale_at};
use crate::kernels::matrix::ScaleType;

/// Integers of `bits` bits, packed from the lowest bit of the first byte on, and for every `group` of them a scale and a
/// bias. MLX packs 2, 4 and 8 bits into 32-bit words and the others into bytes, which in memory is the same order.
pub(super) fn decode(bits: u8, group: u8, scale: ScaleType, arrays: Arrays<'_>, out: &mut [f32]) {
    for (index, out) in out.iter_mut().enumerate() {
        let quant = integer(arrays.data, index * usize::from(bits), bits);
        let group = index / usize::from(group);
        *out =
            scale_at(scale, arrays.scales, group) * f32::from(quant) + scale_at(scale, arrays.biases, group);
    }
}

/// The integer of `bits` bits (8 at most) whose lowest bit is `first`.
fn integer(data: &[u8], first: usize, bits: u8) -> u8 {
    let low = u16::from(data[first / 8]);
    let high = u16::from(data.get(first / 8 + 1).copied().unwrap_or(0));
    ((low | high << 8) >> (first % 8) & ((1 << bits) - 1)) as u8
}
