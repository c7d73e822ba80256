//! bitsandbytes' 4-bit normal float.

use super::{Arrays, scale_at};
use crate::kernels::matrix::ScaleType;

/// The sixteen values: quantiles of the normal distribution, scaled to -1 to 1 (QLoRA, Dettmers et al. 2023, appendix
/// E). `kernels/common/format_nf4.h` has the same numbers.
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// `maximum · value`; of two elements in a byte the first is the high nibble, and `group` elements have one f32 maximum.
pub(super) fn decode(group: u16, arrays: Arrays<'_>, out: &mut [f32]) {
    for (index, out) in out.iter_mut().enumerate() {
        let nibble = arrays.data[index / 2] >> ((index + 1) % 2 * 4) & 15;
        *out = scale_at(ScaleType::F32, arrays.scales, index / usize::from(group)) * NF4[usize::from(nibble)];
    }
}
