//! Residual additions: `kernels/residual.metal`.

use arrayvec::ArrayVec;
use wootz_backend::cpu::reference;

use super::Concept;
use crate::case::{Case, Tolerance, values};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The residual kernels.
pub const CONCEPT: Concept = Concept { name: "residual", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "residual.metal",
    text: include_str!("../../../../kernels/residual.metal"),
    arguments: &[ResidualArguments::MSL],
}];

kernel_args! {
    /// Arguments of the residual kernels.
    pub struct ResidualArguments {
        /// Elements of all rows.
        elements: u32,
        /// Factor on what is added.
        scale: f32,
    }
}

const THREADS: u32 = 256;

/// `residual += input · scale`, in place.
#[derive(Debug, Clone, Copy)]
pub struct ResidualAdd {
    /// Elements of all rows.
    pub elements: usize,
    /// Factor on the input.
    pub scale: f32,
    /// `[elements]`.
    pub input: Slice,
    /// `[elements]`, updated.
    pub residual: Slice,
}

impl ResidualAdd {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let arguments = ResidualArguments { elements: self.elements as u32, scale: self.scale };
        let elements = self.elements as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "residual_add" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.input),
                Argument::update(self.residual),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [self.elements.div_ceil(4 * THREADS as usize) as u32, 1, 1],
                threads: [THREADS, 1, 1],
            },
            work: Work { bytes_read: 8 * elements, bytes_written: 4 * elements, operations: 2 * elements },
        }
    }
}

fn cases() -> Vec<Case> {
    // With factor 1 both round once. Another factor adds a rounding of the product, or none where it is fused.
    let rounding = Tolerance { absolute: 1.2e-7, relative: 1.2e-7 };
    [(1, 1.0), (7, 1.0), (1026, 1.0), (256, 0.22)]
        .map(|(elements, scale)| {
            residual_case(elements, scale, if scale == 1.0 { Tolerance::EXACT } else { rounding })
        })
        .into()
}

fn residual_case(elements: usize, scale: f32, tolerance: Tolerance) -> Case {
    let mut case = Case::new(format!("residual_add {elements} times {scale}"));
    let (inputs, before) = (values(elements + 1, 1), values(elements, 2));
    let scaled: Vec<f32> = inputs[1..].iter().map(|x| x * scale).collect();
    let mut expected = before.clone();
    reference::add(&mut expected, &scaled);
    let input = case.input("input", &inputs).part(4, 4 * elements);
    let residual = case.updated_f32("residual", &before, expected, tolerance);
    case.dispatch([ResidualAdd { elements, scale, input, residual }.dispatch()]);
    case
}
