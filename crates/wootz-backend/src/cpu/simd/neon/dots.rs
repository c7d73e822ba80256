//! The ways in which 64-bit Arm multiplies int8 codes with int8 activations.
//!
//! The intrinsics of the dot product and the matrix product are not in stable Rust, so they are written as assembly
//! on registers.

use std::arch::asm;

use super::base::*;
use super::load::{Rows, four};

/// Integer sums of four outputs: a panel row each, or two panel rows of two activation rows.
pub type Sums = int32x4_t;

/// A way to multiply. `V` registers hold the sums of a **unit**: [`Dots::ROWS`] rows of activations times the 16 rows
/// of a panel. What belongs to activation rows comes as a pair, whose second is unused where a unit is one row.
///
/// A value proves that the processor has the instructions, and that the function which uses it is compiled with them.
pub trait Dots<const V: usize>: Copy {
    /// Activation rows of a unit: 1 or 2.
    const ROWS: usize;
    /// 16 columns of a unit's activations.
    type Activations: Copy;

    /// 16 columns of each row, ready to multiply.
    fn activations(self, rows: [int8x16_t; 2]) -> Self::Activations;
    /// Adds the products of 8 columns: the first or second (`PAIR`) two quads of the 16 columns of `activations`.
    fn add<const PAIR: usize>(
        self,
        sums: &mut [Sums; V],
        codes: [int8x16_t; 8],
        activations: Self::Activations,
    );
    /// Two quads of codes, four registers each, in the order that `add` takes.
    fn arrange(self, quads: [[int8x16_t; 4]; 2]) -> [int8x16_t; 8];
    /// What belongs to the panel's rows, in the order of the sums.
    fn spread(self, panel_rows: Rows) -> [float32x4_t; V];
    /// What belongs to the activation rows, in the order of any register of the sums.
    fn splat(self, rows: [f32; 2]) -> float32x4_t;
    /// The same for integers.
    fn splat_integer(self, rows: [i32; 2]) -> Sums;
    /// The outputs of each row, in the order of the sums.
    fn join(self, rows: [Rows; 2]) -> [float32x4_t; V];
    /// The opposite of `join`.
    fn split(self, outputs: [float32x4_t; V]) -> [Rows; 2];
}

/// What the two ways with one row to a unit have in common: a register is four panel rows of a quad.
macro_rules! one_row {
    () => {
        const ROWS: usize = 1;
        type Activations = int8x16_t;

        #[inline(always)]
        fn activations(self, rows: [int8x16_t; 2]) -> int8x16_t {
            rows[0]
        }
        #[inline(always)]
        fn arrange(self, [a, b]: [[int8x16_t; 4]; 2]) -> [int8x16_t; 8] {
            [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
        }
        #[inline(always)]
        fn spread(self, panel_rows: Rows) -> [float32x4_t; 4] {
            panel_rows
        }
        #[inline(always)]
        fn splat(self, rows: [f32; 2]) -> float32x4_t {
            vdupq_n_f32(rows[0])
        }
        #[inline(always)]
        fn splat_integer(self, rows: [i32; 2]) -> Sums {
            vdupq_n_s32(rows[0])
        }
        #[inline(always)]
        fn join(self, rows: [Rows; 2]) -> [float32x4_t; 4] {
            rows[0]
        }
        #[inline(always)]
        fn split(self, outputs: [float32x4_t; 4]) -> [Rows; 2] {
            [outputs; 2]
        }
    };
}

/// Widening products, which every 64-bit Arm processor has.
#[derive(Debug, Clone, Copy)]
pub struct Widening;

impl Widening {
    /// Adds the products of a quad. Two products of codes down to −128 with activations down to −127 fit 16 bits.
    #[inline(always)]
    fn quad(sums: Sums, codes: int8x16_t, activations: int8x8_t) -> Sums {
        let low = vmull_s8(vget_low_s8(codes), activations);
        let high = vmull_high_s8(codes, vcombine_s8(activations, activations));
        vpadalq_s16(sums, vpaddq_s16(low, high))
    }
}

impl Dots<4> for Widening {
    one_row!();

    #[inline(always)]
    fn add<const PAIR: usize>(self, sums: &mut [Sums; 4], codes: [int8x16_t; 8], activations: int8x16_t) {
        let quads = vreinterpretq_s32_s8(activations);
        let pair = if PAIR == 0 { vget_low_s32(quads) } else { vget_high_s32(quads) };
        let first = vreinterpret_s8_s32(vdup_lane_s32::<0>(pair));
        let second = vreinterpret_s8_s32(vdup_lane_s32::<1>(pair));
        *sums = four!(i => Self::quad(Self::quad(sums[i], codes[i], first), codes[4 + i], second));
    }
}

/// Dot products of four bytes (`sdot`), by one lane of the activations.
#[derive(Debug, Clone, Copy)]
pub struct SignedDots(());

impl SignedDots {
    /// For a function that is compiled with dot products.
    ///
    /// # Safety
    /// The processor has the feature `dotprod`, and so has the function into which this value's methods are inlined.
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl Dots<4> for SignedDots {
    one_row!();

    #[inline(always)]
    fn add<const PAIR: usize>(self, sums: &mut [Sums; 4], codes: [int8x16_t; 8], activations: int8x16_t) {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `self` proves the feature; registers only, no memory, no flags.
            unsafe {
                asm!(
                    "sdot {sums:v}.4s, {first:v}.16b, {activations:v}.4b[{lane}]",
                    "sdot {sums:v}.4s, {second:v}.16b, {activations:v}.4b[{next}]",
                    sums = inout(vreg) *sums,
                    first = in(vreg) codes[i],
                    second = in(vreg) codes[4 + i],
                    activations = in(vreg) activations,
                    lane = const 2 * PAIR,
                    next = const 2 * PAIR + 1,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
}

/// Matrix products of two rows of eight bytes with two others (`smmla`): a register of sums holds two panel rows of
/// one activation row, then of the other.
#[derive(Debug, Clone, Copy)]
pub struct Matrices(());

impl Matrices {
    /// For a function that is compiled with int8 matrix products.
    ///
    /// # Safety
    /// The processor has the feature `i8mm`, and so has the function into which this value's methods are inlined.
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// The lower halves of `a` and `b`, then their upper halves.
#[inline(always)]
fn halves(a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] {
    let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
    [vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b))]
}

impl Dots<8> for Matrices {
    const ROWS: usize = 2;
    type Activations = [int8x16_t; 2];

    #[inline(always)]
    fn activations(self, rows: [int8x16_t; 2]) -> [int8x16_t; 2] {
        let (a, b) = (vreinterpretq_s64_s8(rows[0]), vreinterpretq_s64_s8(rows[1]));
        [vreinterpretq_s8_s64(vzip1q_s64(a, b)), vreinterpretq_s8_s64(vzip2q_s64(a, b))]
    }

    #[inline(always)]
    fn add<const PAIR: usize>(
        self,
        sums: &mut [Sums; 8],
        codes: [int8x16_t; 8],
        activations: [int8x16_t; 2],
    ) {
        for (sums, codes) in sums.iter_mut().zip(codes) {
            // SAFETY: `self` proves the feature; registers only, no memory, no flags.
            unsafe {
                asm!(
                    "smmla {sums:v}.4s, {activations:v}.16b, {codes:v}.16b",
                    sums = inout(vreg) *sums,
                    codes = in(vreg) codes,
                    activations = in(vreg) activations[PAIR],
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }

    #[inline(always)]
    fn arrange(self, [a, b]: [[int8x16_t; 4]; 2]) -> [int8x16_t; 8] {
        let [a, b] = [four!(i => vreinterpretq_s32_s8(a[i])), four!(i => vreinterpretq_s32_s8(b[i]))];
        let first = four!(i => vreinterpretq_s8_s32(vzip1q_s32(a[i], b[i])));
        let second = four!(i => vreinterpretq_s8_s32(vzip2q_s32(a[i], b[i])));
        [first[0], second[0], first[1], second[1], first[2], second[2], first[3], second[3]]
    }

    #[inline(always)]
    fn spread(self, panel_rows: Rows) -> [float32x4_t; 8] {
        self.join([panel_rows; 2])
    }

    #[inline(always)]
    fn splat(self, rows: [f32; 2]) -> float32x4_t {
        vcombine_f32(vdup_n_f32(rows[0]), vdup_n_f32(rows[1]))
    }

    #[inline(always)]
    fn splat_integer(self, rows: [i32; 2]) -> Sums {
        vcombine_s32(vdup_n_s32(rows[0]), vdup_n_s32(rows[1]))
    }

    #[inline(always)]
    fn join(self, rows: [Rows; 2]) -> [float32x4_t; 8] {
        let [a, b, c, d] = four!(i => halves(rows[0][i], rows[1][i]));
        [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
    }

    #[inline(always)]
    fn split(self, outputs: [float32x4_t; 8]) -> [Rows; 2] {
        let rows = four!(i => halves(outputs[2 * i], outputs[2 * i + 1]));
        [four!(i => rows[i][0]), four!(i => rows[i][1])]
    }
}
