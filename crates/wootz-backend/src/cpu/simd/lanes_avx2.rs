//! [`Lanes`] of AVX2 with FMA and F16C: two registers of eight f32.

use std::arch::x86_64::*;

use half::f16;

use super::isa::Avx2;
use super::lanes::{Kernel, LANES, Lanes};

impl Avx2 {
    /// Runs a kernel compiled with these instructions.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enter<K: Kernel>(kernel: K, lanes: Avx2) -> K::Output {
            kernel.run(lanes)
        }
        // SAFETY: `self` exists only where these features were found.
        unsafe { enter(kernel, self) }
    }
}

/// Sixteen lanes: the lower eight, the upper eight.
type Pair = [__m256; 2];

/// An operation of the trait, as one expression of intrinsics for each half.
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

impl Lanes for Avx2 {
    type F = Pair;

    const WIDE: bool = false;

    #[inline(always)]
    fn prefetch<T>(self, from: &[T; LANES]) {
        // SAFETY: `self` proves that the machine has the instruction, which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.as_ptr().cast()) }
    }

    operation! {
        splat(x: f32) -> Pair { [_mm256_set1_ps(x); 2] }
        load(from: &[f32; LANES]) -> Pair {
            [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))]
        }
        load_f16(from: &[f16; LANES]) -> Pair {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().add(8).cast())),
            ]
        }
        store(to: &mut [f32; LANES], x: Pair) -> () {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1])
        }
        store_f16(to: &mut [f16; LANES], x: Pair) -> () {
            let [low, high] = [_mm256_cvtps_ph::<0>(x[0]), _mm256_cvtps_ph::<0>(x[1])];
            _mm_storeu_si128(to.as_mut_ptr().cast(), low);
            _mm_storeu_si128(to.as_mut_ptr().add(8).cast(), high)
        }
        add(a: Pair, b: Pair) -> Pair { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        sub(a: Pair, b: Pair) -> Pair { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        mul(a: Pair, b: Pair) -> Pair { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        div(a: Pair, b: Pair) -> Pair { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
        fma(a: Pair, b: Pair, c: Pair) -> Pair {
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])]
        }
        min(a: Pair, b: Pair) -> Pair { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
        max(a: Pair, b: Pair) -> Pair { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        zero_below(value: Pair, x: Pair, limit: Pair) -> Pair {
            [
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(x[0], limit[0]), value[0]),
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(x[1], limit[1]), value[1]),
            ]
        }
        swap_pairs(x: Pair) -> Pair {
            [_mm256_permute_ps::<0b10_11_00_01>(x[0]), _mm256_permute_ps::<0b10_11_00_01>(x[1])]
        }
        power_of_two(x: Pair) -> Pair {
            let one = _mm256_castps_si256(_mm256_set1_ps(1.0));
            let low = _mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(x[0])), one);
            let high = _mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(x[1])), one);
            [_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)]
        }
    }
}
