//! Quantising activations to int8.

use super::base::*;
use super::load::{Rows, multiply, rows, store_signed};
use crate::cpu::matmul::input::{InputKind, Int8Cell, SMALLEST};

/// See [`Kernels::quantize`](crate::cpu::matmul::kernels::Kernels::quantize).
pub fn quantize(kind: InputKind, values: &[f32], cell: &mut Int8Cell) {
    let group = if kind == InputKind::Int8Block32 { 32 } else { 256 };
    assert!(values.len() <= cell.quants.len() && values.len().is_multiple_of(group));
    for (index, part) in values.chunks_exact(group).enumerate() {
        let largest = largest(part);
        // So small a magnitude counts as zero: its inverse would overflow.
        let inverse = if largest < SMALLEST { 0.0 } else { 127.0 / largest };
        cell.scales[index] = largest / 127.0;
        for (half, part) in part.as_chunks::<16>().0.iter().enumerate() {
            let half = index * group / 16 + half;
            let quants = rounded(multiply(rows(part), [vdupq_n_f32(inverse); 4]));
            store_signed(&mut cell.quants[half * 16..half * 16 + 16], quants);
            let sum = vaddlvq_s8(quants);
            cell.negated_halves[half] = -128 * i32::from(sum);
            cell.sum_halves[half] = sum;
        }
    }
    for block in 0..values.len() / 32 {
        cell.negated[block] = cell.negated_halves[2 * block] + cell.negated_halves[2 * block + 1];
        cell.sums[block] = cell.sum_halves[2 * block] + cell.sum_halves[2 * block + 1];
        cell.weighted[block] = cell.scales[block * 32 / group] * f32::from(cell.sums[block]);
    }
}

/// The largest magnitude, NaN above all: as integers, the magnitudes of floats have the same order.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut largest = [vdupq_n_u32(0); 4];
    for part in values.as_chunks::<16>().0 {
        let bits = rows(part).map(|x| vreinterpretq_u32_f32(vabsq_f32(x)));
        for (largest, bits) in largest.iter_mut().zip(bits) {
            *largest = vmaxq_u32(*largest, bits);
        }
    }
    let [a, b, c, d] = largest;
    f32::from_bits(vmaxvq_u32(vmaxq_u32(vmaxq_u32(a, b), vmaxq_u32(c, d))))
}

/// To the nearest, ties to even; 0 where it is not a number.
#[inline(always)]
fn rounded(values: Rows) -> int8x16_t {
    let [a, b, c, d] = values.map(|x| vqmovn_s32(vcvtnq_s32_f32(x)));
    vcombine_s8(vqmovn_s16(vcombine_s16(a, b)), vqmovn_s16(vcombine_s16(c, d)))
}
