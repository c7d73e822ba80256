//! Loops that do nothing but read, or nothing but arithmetic, as fast as the processor can.

use super::isa::Isa;

/// Kinds of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Dot products of bytes into 32-bit integers.
    Int8,
    /// Dot products of 16-bit integers into 32-bit ones.
    Int16,
    /// Fused multiply-adds of f32.
    F32,
}

/// Rounds of one call of [`operations`].
const ROUNDS: usize = 4096;
/// Accumulators of the portable loop: enough vectors to hide the latency of an addition.
const LANES: usize = 64;

/// Reads all `words`; gives their bitwise or, so that the reads cannot be left out.
pub fn read(isa: Isa, words: &[u64]) -> u64 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves the features.
        Isa::Avx512(_) => unsafe { super::avx512::peak::read(words) },
        _ => {
            let mut all = [0; 32];
            let chunks = words.chunks_exact(32);
            let rest = chunks.remainder().iter().fold(0, |all, word| all | word);
            for chunk in chunks {
                all.iter_mut().zip(chunk).for_each(|(all, word)| *all |= word);
            }
            all.into_iter().fold(rest, |all, word| all | word)
        }
    }
}

/// Does a few microseconds of arithmetic; gives how many operations those were.
pub fn operations(isa: Isa, kind: Arithmetic) -> f64 {
    match (isa, kind) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves the features.
        (Isa::Avx512(_), Arithmetic::Int8) => unsafe { super::avx512::peak::int8(ROUNDS) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves the features.
        (Isa::Avx512(_), Arithmetic::Int16) => unsafe { super::avx512::peak::int16(ROUNDS) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves the features.
        (Isa::Avx512(_), Arithmetic::F32) => unsafe { super::avx512::peak::f32(ROUNDS) },
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon(token), Arithmetic::Int8) => super::neon::peak::int8(token, ROUNDS),
        // A widening product takes as many 16-bit integers as a multiply-add takes f32.
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon(_), Arithmetic::Int16 | Arithmetic::F32) => super::neon::peak::f32(ROUNDS),
        _ => portable(),
    }
}

/// Multiplications and additions that the compiler vectorises for the plainest processor of this kind.
fn portable() -> f64 {
    let (factor, term) = (std::hint::black_box(0.999_f32), std::hint::black_box(0.001_f32));
    let mut sums = [1.0_f32; LANES];
    for _ in 0..ROUNDS {
        sums.iter_mut().for_each(|sum| *sum = *sum * factor + term);
    }
    std::hint::black_box(sums);
    (2 * LANES * ROUNDS) as f64
}
