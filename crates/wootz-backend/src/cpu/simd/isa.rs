//! The vector instruction sets that the CPU backend has kernels for.

use std::fmt;

/// Proof that this processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that this processor has AVX-512 F, BW, DQ, VL and VNNI, and what [`Avx2`] proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512 {
    bf16: bool,
}

/// Proof that this processor has NEON with dot products and half-precision conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon {
    i8mm: bool,
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
            return Some(Self { bf16: is_x86_feature_detected!("avx512bf16") });
        }
        None
    }

    /// Whether AVX512_BF16 is there too.
    pub fn bf16(self) -> bool {
        self.bf16
    }

    /// This proof without AVX512_BF16, to test the kernels that do without.
    pub fn without_bf16(self) -> Self {
        Self { bf16: false }
    }
}

impl Neon {
    /// The proof, if the processor has the instructions.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("dotprod")
        {
            return Some(Self { i8mm: std::arch::is_aarch64_feature_detected!("i8mm") });
        }
        None
    }

    /// Whether the int8 matrix instructions are there too.
    pub fn i8mm(self) -> bool {
        self.i8mm
    }

    /// This proof without the int8 matrix instructions, to test the kernels that do without.
    pub fn without_i8mm(self) -> Self {
        Self { i8mm: false }
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
    /// 128-bit Arm with int8 dot products.
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
        if let Some(token) = Avx512::detect() {
            found.push(Self::Avx512(token.without_bf16()));
            if token.bf16() {
                found.push(Self::Avx512(token));
            }
        }
        if let Some(token) = Neon::detect() {
            found.push(Self::Neon(token.without_i8mm()));
            if token.i8mm() {
                found.push(Self::Neon(token));
            }
        }
        found
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2(_) => "avx2",
            Self::Avx512(token) if token.bf16() => "avx512+bf16",
            Self::Avx512(_) => "avx512",
            Self::Neon(token) if token.i8mm() => "neon+i8mm",
            Self::Neon(_) => "neon",
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
