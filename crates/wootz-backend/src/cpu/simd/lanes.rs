//! Sixteen f32 lanes: the one vocabulary in which the kernels around the matrix products are written.
//!
//! A kernel is a [`Kernel`] whose `run` is generic over [`Lanes`]; [`Isa::run`](super::Isa::run) enters it with the
//! machine's instructions enabled. Every implementation has sixteen lanes and a fused multiply-add, and
//! every reduction is the same tree, so a kernel gives the same bits on every instruction set.

use half::f16;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// Added and subtracted again, this rounds a float of up to 22 bits to the nearest integer, and leaves that
/// integer in the low bits meanwhile.
const ROUND: f32 = 12_582_912.0;

/// Below this, `exp` gives 0 (the result would not be a normal number).
const EXP_LOWEST: f32 = -87.0;

/// The operations of sixteen f32 lanes. A value of an implementing type proves that the machine has them.
pub trait Lanes: Copy + Send + Sync + 'static {
    /// The lanes.
    type F: Copy;

    /// Whether there are registers for 28 accumulators (32 registers of 16 lanes each).
    const WIDE: bool;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Sixteen elements.
    fn load(self, from: &[f32; LANES]) -> Self::F;
    /// Sixteen elements, widened exactly.
    fn load_f16(self, from: &[f16; LANES]) -> Self::F;
    /// Writes sixteen elements.
    fn store(self, to: &mut [f32; LANES], x: Self::F);
    /// Writes sixteen elements, rounded to nearest even.
    fn store_f16(self, to: &mut [f16; LANES], x: Self::F);
    /// Asks for the cache line of the first of `from`, where that was found to help; it computes nothing.
    #[inline(always)]
    fn prefetch<T>(self, _from: &[T; LANES]) {}
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a < b ? a : b`: `b` where either is not a number.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`: `b` where either is not a number.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `x < limit ? 0 : value`.
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F;
    /// Lanes 0 and 1 exchanged, 2 and 3, and so on.
    fn swap_pairs(self, x: Self::F) -> Self::F;
    /// The float whose bits are `(bits(x) << 23) + bits(1.0)`: `2^n`, where the low bits of `x` hold `n`.
    fn power_of_two(self, x: Self::F) -> Self::F;

    /// The lanes added up: lane `i` with `i + 8`, then `i + 4`, `i + 2`, `i + 1`.
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, x);
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
        }
        lanes[0]
    }

    /// The largest lane.
    #[inline(always)]
    fn largest(self, x: Self::F) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, x);
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                lanes[lane] =
                    if lanes[lane] > lanes[lane + width] { lanes[lane] } else { lanes[lane + width] };
            }
        }
        lanes[0]
    }

    /// Up to sixteen elements; the lanes after them are 0.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::F {
        let mut lanes = [0.0; LANES];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }

    /// Writes the first lanes: as many as `to` has.
    #[inline(always)]
    fn store_part(self, to: &mut [f32], x: Self::F) {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, x);
        let len = to.len();
        to.copy_from_slice(&lanes[..len]);
    }

    /// `e^x` for `x ≤ 88`, within 1 unit in the last place of the true value (tested); 0 below -87.
    ///
    /// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`; `e^r` by a polynomial of degree 6 (least largest error,
    /// fitted to 0.05 units in the last place), times `2^n`.
    #[inline(always)]
    fn exp(self, x: Self::F) -> Self::F {
        let shifted = self.fma(x, self.splat(std::f32::consts::LOG2_E), self.splat(ROUND));
        let n = self.sub(shifted, self.splat(ROUND));
        let r = self.fma(n, self.splat(-0.693_145_75), x);
        let r = self.fma(n, self.splat(-1.428_606_8e-6), r);
        let mut series = self.splat(1.381_454e-3);
        for coefficient in [8.368_745e-3, 4.166_839e-2, 1.666_652e-1, 4.999_999_3e-1, 1.0, 1.0] {
            series = self.fma(series, r, self.splat(coefficient));
        }
        let result = self.mul(series, self.power_of_two(shifted));
        self.zero_below(result, x, self.splat(EXP_LOWEST))
    }

    /// `x · sigmoid(x)`.
    #[inline(always)]
    fn silu(self, x: Self::F) -> Self::F {
        let minus = self.sub(self.splat(0.0), x);
        let power = self.exp(self.min(self.splat(88.0), minus));
        self.div(x, self.add(self.splat(1.0), power))
    }
}

/// Something to compute, written once for every kind of [`Lanes`].
///
/// `run` must be `#[inline(always)]`, so that it is compiled with the instructions of the caller.
pub trait Kernel {
    /// What it gives back.
    type Output;
    /// Computes it.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// An element of a stored vector: f32, or f16 widened on loading.
pub trait Element: Copy + Default + bytemuck::Pod + Send + Sync {
    /// Whether it is read where the cache keeps it, and not from a copy of a moment ago.
    const IN_POOL: bool;
    /// Sixteen elements as f32 lanes.
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::F;
}

impl Element for f32 {
    const IN_POOL: bool = false;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::F {
        lanes.load(from)
    }
}

impl Element for f16 {
    const IN_POOL: bool = true;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::F {
        lanes.load_f16(from)
    }
}

/// Lanes without vector instructions: an array.
#[derive(Debug, Clone, Copy)]
pub struct ScalarLanes;

impl ScalarLanes {
    #[inline(always)]
    fn zip(a: [f32; LANES], b: [f32; LANES], op: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
        std::array::from_fn(|lane| op(a[lane], b[lane]))
    }
}

impl Lanes for ScalarLanes {
    type F = [f32; LANES];

    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F {
        from.map(f16::to_f32)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: Self::F) {
        *to = x;
    }
    #[inline(always)]
    fn store_f16(self, to: &mut [f16; LANES], x: Self::F) {
        *to = x.map(f16::from_f32);
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F {
        std::array::from_fn(|lane| if x[lane] < limit[lane] { 0.0 } else { value[lane] })
    }
    #[inline(always)]
    fn swap_pairs(self, x: Self::F) -> Self::F {
        std::array::from_fn(|lane| x[lane ^ 1])
    }
    #[inline(always)]
    fn power_of_two(self, x: Self::F) -> Self::F {
        x.map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(1.0f32.to_bits())))
    }
}
