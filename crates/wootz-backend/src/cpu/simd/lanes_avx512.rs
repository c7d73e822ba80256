//! [`Lanes`] of AVX-512: one register of sixteen f32.

use std::arch::x86_64::*;

use half::f16;

use super::isa::Avx512;
use super::lanes::{Kernel, LANES, Lanes};

impl Avx512 {
    /// Runs a kernel compiled with these instructions.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn enter<K: Kernel>(kernel: K, lanes: Avx512) -> K::Output {
            kernel.run(lanes)
        }
        // SAFETY: `self` exists only where these features were found.
        unsafe { enter(kernel, self) }
    }
}

/// An operation of the trait as one expression of intrinsics.
macro_rules! operation {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty { $($body:tt)* })*) => {$(
        #[inline(always)]
        fn $name(self $(, $argument: $kind)*) -> $result {
            // SAFETY: `self` proves that the machine has the instructions; loads and stores go through
            // references to whole arrays of the register's size.
            unsafe { $($body)* }
        }
    )*};
}

impl Lanes for Avx512 {
    type F = __m512;

    const WIDE: bool = true;

    #[inline(always)]
    fn prefetch<T>(self, from: &[T; LANES]) {
        // SAFETY: `self` proves that the machine has the instruction, which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.as_ptr().cast()) }
    }

    operation! {
        splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        load(from: &[f32; LANES]) -> __m512 { _mm512_loadu_ps(from.as_ptr()) }
        load_f16(from: &[f16; LANES]) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
        store(to: &mut [f32; LANES], x: __m512) -> () { _mm512_storeu_ps(to.as_mut_ptr(), x) }
        store_f16(to: &mut [f16; LANES], x: __m512) -> () {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x))
        }
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        zero_below(value: __m512, x: __m512, limit: __m512) -> __m512 {
            _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, limit), value)
        }
        swap_pairs(x: __m512) -> __m512 { _mm512_permute_ps::<0b10_11_00_01>(x) }
        power_of_two(x: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_add_epi32(
                _mm512_slli_epi32::<23>(_mm512_castps_si512(x)),
                _mm512_castps_si512(_mm512_set1_ps(1.0)),
            ))
        }
    }
}
