//! The NEON instructions that the kernels use, as safe functions.
//!
//! They belong to the base instruction set of every target that this module is compiled for, but the intrinsics of the
//! standard library are safe only in functions that say so again, which cannot also be inlined always.

use std::arch::aarch64;
pub use std::arch::aarch64::{
    float16x4_t, float16x8_t, float32x2_t, float32x4_t, float64x2_t, int8x8_t, int8x16_t, int16x4_t,
    int16x8_t, int32x2_t, int32x4_t, int64x2_t, uint8x8_t, uint8x16_t, uint16x4_t, uint16x8_t, uint32x4_t,
};

const _: () = assert!(cfg!(target_feature = "neon"), "64-bit Arm without NEON");

macro_rules! safe {
    ($($name:ident[$($constant:ident: $type:ty)?]($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        /// The intrinsic of this name.
        #[inline(always)]
        pub fn $name$(<const $constant: $type>)?($($argument: $kind),*) -> $result {
            // SAFETY: only registers are touched, and the target has the instruction: asserted above.
            unsafe { aarch64::$name$(::<$constant>)?($($argument),*) }
        }
    )*};
}

safe! {
    vabsq_f32[](a: float32x4_t) -> float32x4_t;
    vaddlvq_s8[](a: int8x16_t) -> i16;
    vaddq_f32[](a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vaddq_u8[](a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    vandq_u8[](a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    vbslq_u8[](a: uint8x16_t, b: uint8x16_t, c: uint8x16_t) -> uint8x16_t;
    vcombine_f32[](a: float32x2_t, b: float32x2_t) -> float32x4_t;
    vcombine_s16[](a: int16x4_t, b: int16x4_t) -> int16x8_t;
    vcombine_s32[](a: int32x2_t, b: int32x2_t) -> int32x4_t;
    vcombine_s8[](a: int8x8_t, b: int8x8_t) -> int8x16_t;
    vcvt_f32_f16[](a: float16x4_t) -> float32x4_t;
    vcvt_high_f32_f16[](a: float16x8_t) -> float32x4_t;
    vcvtnq_s32_f32[](a: float32x4_t) -> int32x4_t;
    vcvtq_f32_s32[](a: int32x4_t) -> float32x4_t;
    vcvtq_f32_u32[](a: uint32x4_t) -> float32x4_t;
    vdup_lane_s32[N: i32](a: int32x2_t) -> int32x2_t;
    vdup_n_f32[](value: f32) -> float32x2_t;
    vdup_n_s32[](value: i32) -> int32x2_t;
    vdupq_laneq_s32[N: i32](a: int32x4_t) -> int32x4_t;
    vdupq_n_f32[](value: f32) -> float32x4_t;
    vdupq_n_s32[](value: i32) -> int32x4_t;
    vdupq_n_s8[](value: i8) -> int8x16_t;
    vdupq_n_u32[](value: u32) -> uint32x4_t;
    vdupq_n_u8[](value: u8) -> uint8x16_t;
    veorq_u8[](a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    vfmaq_f32[](a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t;
    vfmaq_laneq_f32[LANE: i32](a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t;
    vget_high_s32[](a: int32x4_t) -> int32x2_t;
    vget_low_f16[](a: float16x8_t) -> float16x4_t;
    vget_low_s16[](a: int16x8_t) -> int16x4_t;
    vget_low_s32[](a: int32x4_t) -> int32x2_t;
    vget_low_s8[](a: int8x16_t) -> int8x8_t;
    vget_low_u16[](a: uint16x8_t) -> uint16x4_t;
    vget_low_u8[](a: uint8x16_t) -> uint8x8_t;
    vmaxq_u32[](a: uint32x4_t, b: uint32x4_t) -> uint32x4_t;
    vmaxvq_u32[](a: uint32x4_t) -> u32;
    vmlal_high_laneq_s16[LANE: i32](a: int32x4_t, b: int16x8_t, c: int16x8_t) -> int32x4_t;
    vmlal_high_s16[](a: int32x4_t, b: int16x8_t, c: int16x8_t) -> int32x4_t;
    vmlal_laneq_s16[LANE: i32](a: int32x4_t, b: int16x4_t, c: int16x8_t) -> int32x4_t;
    vmlal_s16[](a: int32x4_t, b: int16x4_t, c: int16x4_t) -> int32x4_t;
    vmovl_high_s16[](a: int16x8_t) -> int32x4_t;
    vmovl_high_s8[](a: int8x16_t) -> int16x8_t;
    vmovl_high_u16[](a: uint16x8_t) -> uint32x4_t;
    vmovl_high_u8[](a: uint8x16_t) -> uint16x8_t;
    vmovl_s16[](a: int16x4_t) -> int32x4_t;
    vmovl_s8[](a: int8x8_t) -> int16x8_t;
    vmovl_u16[](a: uint16x4_t) -> uint32x4_t;
    vmovl_u8[](a: uint8x8_t) -> uint16x8_t;
    vmull_high_s8[](a: int8x16_t, b: int8x16_t) -> int16x8_t;
    vmull_s8[](a: int8x8_t, b: int8x8_t) -> int16x8_t;
    vmulq_f32[](a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vnegq_f32[](a: float32x4_t) -> float32x4_t;
    vpadalq_s16[](a: int32x4_t, b: int16x8_t) -> int32x4_t;
    vpaddq_s16[](a: int16x8_t, b: int16x8_t) -> int16x8_t;
    vpaddq_s32[](a: int32x4_t, b: int32x4_t) -> int32x4_t;
    vqmovn_s16[](a: int16x8_t) -> int8x8_t;
    vqmovn_s32[](a: int32x4_t) -> int16x4_t;
    vreinterpret_s8_s32[](a: int32x2_t) -> int8x8_t;
    vreinterpretq_f16_u8[](a: uint8x16_t) -> float16x8_t;
    vreinterpretq_f32_f64[](a: float64x2_t) -> float32x4_t;
    vreinterpretq_f64_f32[](a: float32x4_t) -> float64x2_t;
    vreinterpretq_s16_s32[](a: int32x4_t) -> int16x8_t;
    vreinterpretq_s16_u16[](a: uint16x8_t) -> int16x8_t;
    vreinterpretq_s32_s16[](a: int16x8_t) -> int32x4_t;
    vreinterpretq_s32_s8[](a: int8x16_t) -> int32x4_t;
    vreinterpretq_s64_s8[](a: int8x16_t) -> int64x2_t;
    vreinterpretq_s8_s32[](a: int32x4_t) -> int8x16_t;
    vreinterpretq_s8_s64[](a: int64x2_t) -> int8x16_t;
    vreinterpretq_s8_u8[](a: uint8x16_t) -> int8x16_t;
    vreinterpretq_u32_f32[](a: float32x4_t) -> uint32x4_t;
    vshlq_n_u8[N: i32](a: uint8x16_t) -> uint8x16_t;
    vshrq_n_u8[N: i32](a: uint8x16_t) -> uint8x16_t;
    vuzp1q_s16[](a: int16x8_t, b: int16x8_t) -> int16x8_t;
    vuzp2q_s16[](a: int16x8_t, b: int16x8_t) -> int16x8_t;
    vzip1q_f64[](a: float64x2_t, b: float64x2_t) -> float64x2_t;
    vzip1q_s32[](a: int32x4_t, b: int32x4_t) -> int32x4_t;
    vzip1q_s64[](a: int64x2_t, b: int64x2_t) -> int64x2_t;
    vzip2q_f64[](a: float64x2_t, b: float64x2_t) -> float64x2_t;
    vzip2q_s32[](a: int32x4_t, b: int32x4_t) -> int32x4_t;
    vzip2q_s64[](a: int64x2_t, b: int64x2_t) -> int64x2_t;
}
