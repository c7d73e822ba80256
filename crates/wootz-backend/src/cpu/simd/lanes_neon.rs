//! [`Lanes`] of NEON, which every 64-bit Arm machine has: four registers of four f32.

use std::arch::aarch64::*;

use half::f16;

use super::isa::Neon;
use super::lanes::{Kernel, LANES, Lanes};

impl Neon {
    /// Runs a kernel compiled with these instructions.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn enter<K: Kernel>(kernel: K, lanes: Neon) -> K::Output {
            kernel.run(lanes)
        }
        // SAFETY: `self` exists only where this feature was found.
        unsafe { enter(kernel, self) }
    }
}

/// Sixteen lanes in order.
type Quad = [float32x4_t; 4];

/// The same two-operand intrinsic on each register.
macro_rules! each {
    ($intrinsic:ident($a:ident, $b:ident)) => {
        [
            $intrinsic($a[0], $b[0]),
            $intrinsic($a[1], $b[1]),
            $intrinsic($a[2], $b[2]),
            $intrinsic($a[3], $b[3]),
        ]
    };
}

/// An operation of the trait as one expression of intrinsics.
macro_rules! operation {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty { $($body:tt)* })*) => {$(
        #[inline(always)]
        fn $name(self $(, $argument: $kind)*) -> $result {
            // SAFETY: `self` proves that the machine has the instructions; loads and stores stay within the
            // sixteen elements of the array that they are given.
            unsafe { $($body)* }
        }
    )*};
}

/// Eight f16 (as their bits) widened.
#[inline(always)]
fn widen(bits: uint16x8_t) -> [float32x4_t; 2] {
    // SAFETY: conversions of the base instruction set between registers.
    unsafe {
        let halves = vreinterpretq_f16_u16(bits);
        [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
    }
}

/// Eight f32 rounded to nearest even f16, as their bits.
#[inline(always)]
fn narrow(low: float32x4_t, high: float32x4_t) -> uint16x8_t {
    // SAFETY: conversions of the base instruction set between registers.
    unsafe { vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(low), high)) }
}

impl Lanes for Neon {
    type F = Quad;

    const WIDE: bool = false;

    operation! {
        splat(x: f32) -> Quad { [vdupq_n_f32(x); 4] }
        load(from: &[f32; LANES]) -> Quad {
            let at = from.as_ptr();
            [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))]
        }
        load_f16(from: &[f16; LANES]) -> Quad {
            let at = from.as_ptr().cast::<u16>();
            let [a, b] = widen(vld1q_u16(at));
            let [c, d] = widen(vld1q_u16(at.add(8)));
            [a, b, c, d]
        }
        store(to: &mut [f32; LANES], x: Quad) -> () {
            let at = to.as_mut_ptr();
            vst1q_f32(at, x[0]);
            vst1q_f32(at.add(4), x[1]);
            vst1q_f32(at.add(8), x[2]);
            vst1q_f32(at.add(12), x[3])
        }
        store_f16(to: &mut [f16; LANES], x: Quad) -> () {
            let at = to.as_mut_ptr().cast::<u16>();
            vst1q_u16(at, narrow(x[0], x[1]));
            vst1q_u16(at.add(8), narrow(x[2], x[3]))
        }
        add(a: Quad, b: Quad) -> Quad { each!(vaddq_f32(a, b)) }
        sub(a: Quad, b: Quad) -> Quad { each!(vsubq_f32(a, b)) }
        mul(a: Quad, b: Quad) -> Quad { each!(vmulq_f32(a, b)) }
        div(a: Quad, b: Quad) -> Quad { each!(vdivq_f32(a, b)) }
        fma(a: Quad, b: Quad, c: Quad) -> Quad {
            [
                vfmaq_f32(c[0], a[0], b[0]),
                vfmaq_f32(c[1], a[1], b[1]),
                vfmaq_f32(c[2], a[2], b[2]),
                vfmaq_f32(c[3], a[3], b[3]),
            ]
        }
        min(a: Quad, b: Quad) -> Quad {
            let less = each!(vcltq_f32(a, b));
            [
                vbslq_f32(less[0], a[0], b[0]),
                vbslq_f32(less[1], a[1], b[1]),
                vbslq_f32(less[2], a[2], b[2]),
                vbslq_f32(less[3], a[3], b[3]),
            ]
        }
        max(a: Quad, b: Quad) -> Quad {
            let more = each!(vcgtq_f32(a, b));
            [
                vbslq_f32(more[0], a[0], b[0]),
                vbslq_f32(more[1], a[1], b[1]),
                vbslq_f32(more[2], a[2], b[2]),
                vbslq_f32(more[3], a[3], b[3]),
            ]
        }
        zero_below(value: Quad, x: Quad, limit: Quad) -> Quad {
            let (less, zero) = (each!(vcltq_f32(x, limit)), vdupq_n_f32(0.0));
            [
                vbslq_f32(less[0], zero, value[0]),
                vbslq_f32(less[1], zero, value[1]),
                vbslq_f32(less[2], zero, value[2]),
                vbslq_f32(less[3], zero, value[3]),
            ]
        }
        swap_pairs(x: Quad) -> Quad {
            [vrev64q_f32(x[0]), vrev64q_f32(x[1]), vrev64q_f32(x[2]), vrev64q_f32(x[3])]
        }
        power_of_two(x: Quad) -> Quad {
            let one = vreinterpretq_u32_f32(vdupq_n_f32(1.0));
            let raise = |x| vreinterpretq_f32_u32(vaddq_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(x)), one));
            [raise(x[0]), raise(x[1]), raise(x[2]), raise(x[3])]
        }
    }
}
