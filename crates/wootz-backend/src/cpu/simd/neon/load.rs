//! Registers of NEON from memory and back, each access within an array of its size.

use std::arch::aarch64::{vld1q_f32, vld1q_s8, vld1q_s16, vld1q_u8, vst1q_f32, vst1q_s8, vst1q_u8};

use super::base::*;
use crate::cpu::matmul::format::PANEL_ROWS;

/// An array of four, written out: `four!(i => value of i)`. Closures on arrays are not always inlined, and what crosses
/// a call lives in memory.
macro_rules! four {
    ($i:ident => $value:expr) => {
        [
            {
                let $i = 0_usize;
                $value
            },
            {
                let $i = 1_usize;
                $value
            },
            {
                let $i = 2_usize;
                $value
            },
            {
                let $i = 3_usize;
                $value
            },
        ]
    };
}
pub(super) use four;

/// One f32 of each of a panel's 16 rows, four to a register.
pub type Rows = [float32x4_t; 4];

/// 64 bytes.
#[inline(always)]
pub fn vector(from: &[u8; 64]) -> [uint8x16_t; 4] {
    let from = from.as_ptr();
    // SAFETY: reads the 64 bytes of the array.
    unsafe { [vld1q_u8(from), vld1q_u8(from.add(16)), vld1q_u8(from.add(32)), vld1q_u8(from.add(48))] }
}

/// 16 bytes.
#[inline(always)]
fn bytes(from: &[u8; 16]) -> uint8x16_t {
    // SAFETY: reads the 16 bytes of the array.
    unsafe { vld1q_u8(from.as_ptr()) }
}

/// Writes 16 bytes.
#[inline(always)]
pub fn store_bytes(to: &mut [u8], x: uint8x16_t) {
    let to: &mut [u8; 16] = to.try_into().expect("16 bytes");
    // SAFETY: writes the 16 bytes of the array.
    unsafe { vst1q_u8(to.as_mut_ptr(), x) }
}

/// The 16 bytes from `at` on.
#[inline(always)]
pub fn bytes_at(from: &[u8], at: usize) -> uint8x16_t {
    bytes(from[at..at + 16].try_into().expect("16 bytes"))
}

/// The 16 signed bytes from `at` on.
#[inline(always)]
pub fn signed_at(from: &[i8], at: usize) -> int8x16_t {
    let from: &[i8; 16] = from[at..at + 16].try_into().expect("16 bytes");
    // SAFETY: reads the 16 bytes of the array.
    unsafe { vld1q_s8(from.as_ptr()) }
}

/// Writes 16 signed bytes.
#[inline(always)]
pub fn store_signed(to: &mut [i8], x: int8x16_t) {
    let to: &mut [i8; 16] = to.try_into().expect("16 bytes");
    // SAFETY: writes the 16 bytes of the array.
    unsafe { vst1q_s8(to.as_mut_ptr(), x) }
}

/// Four f32.
#[inline(always)]
pub fn floats(from: &[f32; 4]) -> float32x4_t {
    // SAFETY: reads the 4 elements of the array.
    unsafe { vld1q_f32(from.as_ptr()) }
}

/// Eight 16-bit integers.
#[inline(always)]
pub fn words(from: &[i16; 8]) -> int16x8_t {
    // SAFETY: reads the 8 elements of the array.
    unsafe { vld1q_s16(from.as_ptr()) }
}

/// 16 f32.
#[inline(always)]
pub fn rows(from: &[f32; PANEL_ROWS]) -> Rows {
    let from = from.as_ptr();
    // SAFETY: reads the 16 elements of the array.
    unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
}

/// Writes 16 f32.
#[inline(always)]
pub fn store_rows(to: &mut [f32; PANEL_ROWS], x: Rows) {
    let to = to.as_mut_ptr();
    // SAFETY: writes the 16 elements of the array.
    unsafe {
        vst1q_f32(to, x[0]);
        vst1q_f32(to.add(4), x[1]);
        vst1q_f32(to.add(8), x[2]);
        vst1q_f32(to.add(12), x[3]);
    }
}

/// The 16 f16 at byte `at` of `from`, widened.
#[inline(always)]
pub fn half_rows(from: &[u8], at: usize) -> Rows {
    let low = vreinterpretq_f16_u8(bytes_at(from, at));
    let high = vreinterpretq_f16_u8(bytes_at(from, at + 16));
    [
        vcvt_f32_f16(vget_low_f16(low)),
        vcvt_high_f32_f16(low),
        vcvt_f32_f16(vget_low_f16(high)),
        vcvt_high_f32_f16(high),
    ]
}

/// 16 bytes as f32.
#[inline(always)]
pub fn byte_rows(x: uint8x16_t) -> Rows {
    let (low, high) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
        vcvtq_f32_u32(vmovl_high_u16(low)),
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
        vcvtq_f32_u32(vmovl_high_u16(high)),
    ]
}

/// 16 signed bytes as f32.
#[inline(always)]
pub fn signed_byte_rows(x: int8x16_t) -> Rows {
    let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
    [
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
        vcvtq_f32_s32(vmovl_high_s16(low)),
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
        vcvtq_f32_s32(vmovl_high_s16(high)),
    ]
}

/// `a · b`.
#[inline(always)]
pub fn multiply(a: Rows, b: Rows) -> Rows {
    four!(i => vmulq_f32(a[i], b[i]))
}
