//! The vector instruction sets that the CPU backend has kernels for.

use std::fmt;

/// Proof that this processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that this processor has AVX-512 F, BW, DQ, VL and VNNI, and what [`Avx2`] proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

/// Proof that this processor has NEON, and which products of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon {
    integers: Integers,
}

/// How a 64-bit Arm processor multiplies bytes, each including those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integers {
    /// By widening products: every one.
    Widening,
    /// By dot products of four: from Apple's M1 and Arm's Neoverse N1 on.
    Dots,
    /// By matrix products of two rows of eight too: from Apple's M2 and Arm's Neoverse V1 on.
    Matrices,
}

impl Avx2 {
    /// The proof, if the processor has the instructions.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            return Some(Self(()));
        }
        None
    }
}

impl Avx512 {
    /// The proof, if the processor has the instructions.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            return Some(Self(()));
        }
        None
    }
}

impl Neon {
    /// The proof, if the processor has the instructions.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            let dots = std::arch::is_aarch64_feature_detected!("dotprod");
            let integers = match dots {
                true if std::arch::is_aarch64_feature_detected!("i8mm") => Integers::Matrices,
                true => Integers::Dots,
                false => Integers::Widening,
            };
            return Some(Self { integers });
        }
        None
    }

    /// The best products of bytes that it proves.
    pub fn integers(self) -> Integers {
        self.integers
    }

    /// This proof and all weaker ones, the best last: to test the kernels that do with less.
    pub fn levels(self) -> impl Iterator<Item = Self> {
        [Integers::Widening, Integers::Dots, Integers::Matrices]
            .into_iter()
            .filter(move |&integers| integers as u8 <= self.integers as u8)
            .map(|integers| Self { integers })
    }
}

/// The instruction set that kernels run on, chosen once at start-up. A variant can only be made on a processor that
/// has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust: the twin that every other variant is tested against.
    Scalar,
    /// 256-bit x86.
    Avx2(Avx2),
    /// 512-bit x86 with int8 dot products.
    Avx512(Avx512),
    /// 128-bit Arm.
    Neon(Neon),
}

impl Isa {
    /// The best one of this processor.
    pub fn detect() -> Self {
        if let Some(token) = Avx512::detect() {
            Self::Avx512(token)
        } else if let Some(token) = Avx2::detect() {
            Self::Avx2(token)
        } else if let Some(token) = Neon::detect() {
            Self::Neon(token)
        } else {
            Self::Scalar
        }
    }

    /// Every variant that this processor can run, the scalar one first and the best last.
    pub fn available() -> Vec<Self> {
        let mut found = vec![Self::Scalar];
        found.extend(Avx2::detect().map(Self::Avx2));
        found.extend(Avx512::detect().map(Self::Avx512));
        if let Some(token) = Neon::detect() {
            found.extend(token.levels().map(Self::Neon));
        }
        found
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2(_) => "avx2",
            Self::Avx512(_) => "avx512",
            Self::Neon(token) => match token.integers() {
                Integers::Widening => "neon",
                Integers::Dots => "neon+dotprod",
                Integers::Matrices => "neon+i8mm",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_one_is_the_best_available() {
        let all = Isa::available();
        assert_eq!(all[0], Isa::Scalar);
        assert_eq!(*all.last().unwrap(), Isa::detect());
    }
}
