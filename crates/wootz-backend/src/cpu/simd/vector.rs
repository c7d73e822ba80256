//! Entering a vector kernel with the instruction set of an [`Isa`].

use super::isa::Isa;
use super::lanes::{Kernel, ScalarLanes};

impl Isa {
    /// Runs a kernel that is written for any [`Lanes`](super::lanes::Lanes) with these instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) => lanes.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(lanes) => lanes.run(kernel),
            // The other variants cannot be made on this architecture.
            _ => kernel.run(ScalarLanes),
        }
    }
}
