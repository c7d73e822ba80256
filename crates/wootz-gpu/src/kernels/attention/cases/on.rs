//! Which of the attention kernels computes a case.

use crate::case::{Case, Check, Tolerance};
use crate::kernels::attention::{Results, Unit};

/// What computes a case, and whether to f16.
#[derive(Clone, Copy)]
pub struct On {
    /// The kernels.
    pub unit: Unit,
    /// Whether their results are f16.
    pub halves: bool,
}

impl On {
    /// The kernels that every device has.
    pub const CORES: On = On { unit: Unit::Cores, halves: false };

    /// Every second one with results of f16.
    pub fn registers(place: usize) -> On {
        On { unit: Unit::Registers, halves: place % 2 == 1 }
    }

    /// Where the results go, and what they should be.
    pub fn results(self, case: &mut Case, expected: Vec<f32>, tolerance: Tolerance) -> Results {
        if self.halves {
            let poison = vec![0xff; 2 * expected.len()];
            Results::Halves(case.buffer("out", poison, Check::F16(expected, tolerance)))
        } else {
            Results::Floats(case.output_f32("out", expected, tolerance))
        }
    }

    /// The kernel's name in that of a case.
    pub fn name(self, cores: &str, registers: &str) -> String {
        match self.unit {
            Unit::Cores => cores.to_owned(),
            Unit::Registers if self.halves => format!("{registers}, f16"),
            Unit::Registers => registers.to_owned(),
        }
    }
}
