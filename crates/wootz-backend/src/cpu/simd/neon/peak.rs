//! Loops that are limited by nothing but the arithmetic units, or by reading.

use std::hint::black_box;

use super::base::*;
use super::dots::{Dots, Matrices, SignedDots, Widening};
use crate::cpu::simd::isa::{Integers, Neon};

/// Independent sums: enough to keep four units busy through the latency of a multiply-add.
const CHAINS: usize = 16;

/// The int8 kernels' instruction in a loop; gives the number of operations.
#[inline(always)]
fn dots<D: Dots<V>, const V: usize>(kind: D, rounds: usize) -> f64 {
    let codes = black_box([vdupq_n_s8(3); 8]);
    let activations = kind.activations(black_box([vdupq_n_s8(-2); 2]));
    let mut sums = [[vdupq_n_s32(0); V]; 4];
    let units = CHAINS / V;
    for _ in 0..rounds {
        sums[..units].iter_mut().for_each(|sums| kind.add::<0>(sums, codes, activations));
    }
    black_box(sums);
    // Each unit: its rows, times 16 panel rows, times 8 columns, a product and a sum each.
    (rounds * units * D::ROWS * 16 * 8 * 2) as f64
}

/// The best products of bytes of the processor; gives the number of operations.
pub fn int8(token: Neon, rounds: usize) -> f64 {
    match token.integers() {
        Integers::Widening => dots(Widening, rounds),
        // SAFETY: the token proves the feature.
        Integers::Dots => unsafe { signed_dots(rounds) },
        // SAFETY: the token proves the feature.
        Integers::Matrices => unsafe { matrices(rounds) },
    }
}

#[target_feature(enable = "neon,dotprod")]
fn signed_dots(rounds: usize) -> f64 {
    // SAFETY: the feature is enabled here.
    dots(unsafe { SignedDots::new() }, rounds)
}

#[target_feature(enable = "neon,i8mm")]
fn matrices(rounds: usize) -> f64 {
    // SAFETY: the feature is enabled here.
    dots(unsafe { Matrices::new() }, rounds)
}

/// Fused multiply-adds of f32; gives the number of operations.
pub fn f32(rounds: usize) -> f64 {
    let (a, b) = (black_box(vdupq_n_f32(0.5)), black_box(vdupq_n_f32(-0.25)));
    let mut sums = [vdupq_n_f32(0.0); CHAINS];
    for _ in 0..rounds {
        sums.iter_mut().for_each(|sum| *sum = vfmaq_f32(*sum, a, b));
    }
    black_box(sums);
    (rounds * CHAINS * 8) as f64
}
