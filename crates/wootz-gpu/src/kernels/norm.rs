//! Root-mean-square norm: `kernels/norm.metal`.

use arrayvec::ArrayVec;
use wootz_backend::cpu::reference;
use wootz_spec::Norm;

use super::Concept;
use crate::case::{Case, Tolerance, values};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The norm kernels.
pub const CONCEPT: Concept = Concept { name: "norm", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "norm.metal",
    text: include_str!("../../../../kernels/norm.metal"),
    arguments: &[NormArguments::MSL],
}];

kernel_args! {
    /// Arguments of the norm kernels.
    pub struct NormArguments {
        /// Elements in a row.
        width: u32,
        /// Added to the mean square.
        epsilon: f32,
        /// Added to the weight.
        offset: f32,
    }
}

/// Threads of a threadgroup; one threadgroup norms one row.
const THREADS: u32 = 256;

/// `out[r] = norm(input[r]) · (weight + offset)`, rows of f32.
#[derive(Debug, Clone, Copy)]
pub struct RmsNorm {
    /// How many rows.
    pub rows: usize,
    /// Elements in each.
    pub width: usize,
    /// Epsilon and offset.
    pub norm: Norm,
    /// `[rows, width]`.
    pub input: Slice,
    /// `[width]`.
    pub weight: Slice,
    /// `[rows, width]`.
    pub out: Slice,
}

impl RmsNorm {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let arguments = NormArguments {
            width: self.width as u32,
            epsilon: self.norm.eps,
            offset: self.norm.weight_offset,
        };
        let elements = (self.rows * self.width) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "rms_norm" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.input),
                Argument::read(self.weight),
                Argument::write(self.out),
                Argument::inline(&arguments),
            ]),
            grid: Grid { threadgroups: [self.rows as u32, 1, 1], threads: [THREADS, 1, 1] },
            work: Work {
                bytes_read: 4 * (elements + self.width as u64),
                bytes_written: 4 * elements,
                operations: 4 * elements,
            },
        }
    }
}

/// A sum of squares in another order differs by a few roundings; the rest of a norm is three of them.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 4e-6 };

fn cases() -> Vec<Case> {
    let norm = Norm { eps: 1e-5, weight_offset: 0.0 };
    let offset = Norm { eps: 1e-6, weight_offset: 1.0 };
    [(1, 64, norm), (3, 100, offset), (2, 33, norm), (2, 4096, norm), (1, 1, offset)]
        .map(|(rows, width, norm)| rms_norm_case(rows, width, norm))
        .into()
}

fn rms_norm_case(rows: usize, width: usize, norm: Norm) -> Case {
    let mut case = Case::new(format!("rms_norm {rows}x{width}"));
    let (inputs, weights) = (values(rows * width, 1), values(width, 2));
    let mut expected = vec![0.0; rows * width];
    reference::rms_norm(&inputs, &weights, norm, &mut expected);
    let input = case.input("input", &inputs);
    let weight = case.input("weight", &weights);
    let out = case.output_f32("out", expected, TOLERANCE);
    case.dispatch([RmsNorm { rows, width, norm, input, weight, out }.dispatch()]);
    case
}
