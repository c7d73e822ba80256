//! MXFP4 in two arrays, as MLX and Hugging Face checkpoints have it.

use super::Arrays;

/// E2M1 floats: sign, two bits of exponent, one of mantissa.
const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// `2^(e - 127) · E2M1`: 32 elements have one byte of `scales`; of two elements in a byte the first is the low nibble.
/// (Blocks of ggml have the first sixteen elements in low nibbles.)
pub(super) fn decode_mxfp4(arrays: Arrays<'_>, out: &mut [f32]) {
    for (index, out) in out.iter_mut().enumerate() {
        let nibble = arrays.data[index / 2] >> (index % 2 * 4) & 15;
        let exponent = i32::from(arrays.scales[index / 32]) - 127;
        *out = (f64::from(exponent).exp2() * f64::from(E2M1[usize::from(nibble)])) as f32;
    }
}
