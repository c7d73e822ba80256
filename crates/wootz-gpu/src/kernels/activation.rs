//! Activations and gated activations: `kernels/activation.metal`.

use arrayvec::ArrayVec;
use wootz_spec::Activation as SpecActivation;

use super::Concept;
use super::gemm::HalfInput;
use crate::case::{Case, Check, Tolerance, values};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;
use crate::twins;

/// The activation kernels.
pub const CONCEPT: Concept = Concept { name: "activation", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "activation.metal",
    text: include_str!("../../../../kernels/activation.metal"),
    arguments: &[ActivationArguments::MSL],
}];

kernel_args! {
    /// Arguments of the activation kernels.
    pub struct ActivationArguments {
        /// Elements in a row.
        width: u32,
        /// Elements from one row of the gate (or of the only input) to the next.
        gate_stride: u32,
        /// Elements from one row of the other factor to the next.
        up_stride: u32,
    }
}

/// An elementwise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x / 2 · (1 + erf(x / √2))`.
    GeluErf,
    /// `max(x, 0)²`.
    ReluSquared,
}

impl From<SpecActivation> for Activation {
    fn from(activation: SpecActivation) -> Activation {
        match activation {
            SpecActivation::Silu => Activation::Silu,
        }
    }
}

/// What a gate does to its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// `activation(gate) · up`.
    Plain(Activation),
    /// `g · sigmoid(1.702 g) · (clamp(up, ±7) + 1)` with `g = min(gate, 7)` (gpt-oss).
    ClampedSilu,
}

/// Rows of f32 in memory, perhaps a part of wider rows.
#[derive(Debug, Clone, Copy)]
pub struct StridedRows {
    /// From the first element of the first row to the last of the last.
    pub slice: Slice,
    /// Elements from one row to the next.
    pub stride: usize,
}

/// `out[r][i] = activation(gate[r][i]) · up[r][i]`.
#[derive(Debug, Clone, Copy)]
pub struct Gated {
    /// What the gate does.
    pub activation: Gate,
    /// How many rows.
    pub rows: usize,
    /// Elements in each.
    pub width: usize,
    /// `[rows, width]`.
    pub gate: StridedRows,
    /// `[rows, width]`.
    pub up: StridedRows,
    /// `[rows, width]`, without gaps.
    pub out: Slice,
}

impl Gated {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let (entry, cost) = match self.activation {
            Gate::Plain(Activation::Silu) => ("gated_silu", 5),
            Gate::Plain(Activation::GeluTanh) => ("gated_gelu_tanh", 10),
            Gate::Plain(Activation::GeluErf) => ("gated_gelu_erf", 20),
            Gate::Plain(Activation::ReluSquared) => ("gated_relu_squared", 3),
            Gate::ClampedSilu => ("gated_clamped_silu", 10),
        };
        let arguments = ActivationArguments {
            width: self.width as u32,
            gate_stride: self.gate.stride as u32,
            up_stride: self.up.stride as u32,
        };
        let elements = (self.rows * self.width) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry },
            arguments: ArrayVec::from_iter([
                Argument::read(self.gate.slice),
                Argument::read(self.up.slice),
                Argument::write(self.out),
                Argument::inline(&arguments),
            ]),
            grid: grid(self.rows, self.width),
            work: Work { bytes_read: 8 * elements, bytes_written: 4 * elements, operations: cost * elements },
        }
    }
}

/// The same as f16 for the matrix unit.
#[derive(Debug, Clone, Copy)]
pub struct GatedHalf {
    /// What the gate does.
    pub activation: Gate,
    /// How many rows.
    pub rows: usize,
    /// Elements in each.
    pub width: usize,
    /// `[rows, width]`.
    pub gate: StridedRows,
    /// `[rows, width]`.
    pub up: StridedRows,
    /// The result.
    pub out: HalfInput,
}

impl GatedHalf {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let (entry, cost) = match self.activation {
            Gate::Plain(Activation::Silu) => ("gated_half_silu", 7),
            Gate::Plain(Activation::GeluTanh) => ("gated_half_gelu_tanh", 12),
            Gate::Plain(Activation::GeluErf) => ("gated_half_gelu_erf", 22),
            Gate::Plain(Activation::ReluSquared) => ("gated_half_relu_squared", 5),
            Gate::ClampedSilu => ("gated_half_clamped_silu", 12),
        };
        let arguments = ActivationArguments {
            width: self.width as u32,
            gate_stride: self.gate.stride as u32,
            up_stride: self.up.stride as u32,
        };
        let elements = (self.rows * self.width) as u64;
        let [halves, inverse] = self.out.written();
        // A quad a thread, as far as there are threads.
        let threads = (self.width.div_ceil(4).next_multiple_of(32)).min(1024) as u32;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry },
            arguments: ArrayVec::from_iter([
                Argument::read(self.gate.slice),
                Argument::read(self.up.slice),
                halves,
                inverse,
                Argument::inline(&arguments),
            ]),
            grid: Grid { threadgroups: [self.rows as u32, 1, 1], threads: [threads, 1, 1] },
            work: Work { bytes_read: 8 * elements, bytes_written: 2 * elements, operations: cost * elements },
        }
    }
}

/// `out[r][i] = activation(input[r][i])`; in place where `out` is the input.
#[derive(Debug, Clone, Copy)]
pub struct Activate {
    /// The function.
    pub activation: Activation,
    /// How many rows.
    pub rows: usize,
    /// Elements in each.
    pub width: usize,
    /// `[rows, width]`.
    pub input: StridedRows,
    /// `[rows, width]`, without gaps.
    pub out: Slice,
}

impl Activate {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let (entry, cost) = match self.activation {
            Activation::Silu => ("silu", 4),
            Activation::GeluTanh => ("gelu_tanh", 9),
            Activation::GeluErf => ("gelu_erf", 19),
            Activation::ReluSquared => ("relu_squared", 2),
        };
        let stride = self.input.stride as u32;
        let arguments = ActivationArguments { width: self.width as u32, gate_stride: stride, up_stride: 0 };
        let elements = (self.rows * self.width) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry },
            arguments: ArrayVec::from_iter([
                Argument::read(self.input.slice),
                Argument::write(self.out),
                Argument::inline(&arguments),
            ]),
            grid: grid(self.rows, self.width),
            work: Work { bytes_read: 4 * elements, bytes_written: 4 * elements, operations: cost * elements },
        }
    }
}

/// A thread a quad of a row.
fn grid(rows: usize, width: usize) -> Grid {
    let quads = width.div_ceil(4);
    let threads = quads.next_multiple_of(32).min(256);
    Grid { threadgroups: [quads.div_ceil(threads) as u32, rows as u32, 1], threads: [threads as u32, 1, 1] }
}

/// exp errs by 4 units in the last place at most (Metal's precise functions), of which a sigmoid keeps at most as much
/// relatively; cubes, division and products add about eight roundings. erf is good to 1.5e-7 absolutely, times
/// `x / 2`, where it is not 1 yet below `x = 5`: less than 1e-6.
const TOLERANCE: Tolerance = Tolerance { absolute: 2e-6, relative: 3e-6 };
/// The same times a factor of at most 8.
const GATED_TOLERANCE: Tolerance = Tolerance { absolute: 1.6e-5, relative: 3e-6 };

fn cases() -> Vec<Case> {
    let activations = [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::ReluSquared];
    let gates = activations.map(Gate::Plain).into_iter().chain([Gate::ClampedSilu]);
    let mut cases = Vec::new();
    for gate in gates {
        cases.push(gated_case(gate, 3, 37));
        cases.push(gated_case(gate, 1, 128));
    }
    cases.push(gated_case(Gate::Plain(Activation::Silu), 2, 1030));
    for (gate, rows, width) in gates_of_halves() {
        cases.push(gated_half_case(gate, rows, width));
    }
    for activation in activations {
        cases.push(plain_case(activation, 2, 67));
        cases.push(plain_case(activation, 1, 1));
    }
    cases
}

/// Inputs from -12 to 12, and in the first places those where a formula may break.
fn wide_values(count: usize, seed: u64) -> Vec<f32> {
    let mut wide: Vec<f32> = values(count, seed).iter().map(|x| 12.0 * x).collect();
    let special = [0.0, -0.0, -100.0, 100.0, -1e-6, 1e-20];
    for (place, value) in wide.iter_mut().zip(special) {
        *place = value;
    }
    wide
}

/// Factors from -8 to 8: some of them are clamped.
fn factors(count: usize, seed: u64) -> Vec<f32> {
    values(count, seed + 100).iter().map(|x| 8.0 * x).collect()
}

/// Gate and up are the two halves of one buffer's rows.
fn gated_case(gate: Gate, rows: usize, width: usize) -> Case {
    let mut case = Case::new(format!("gated {gate:?} {rows}x{width}"));
    let both: Vec<f32> = (0..rows)
        .flat_map(|row| [wide_values(width, 2 * row as u64), factors(width, row as u64)])
        .flatten()
        .collect();
    let expected: Vec<f32> = both
        .chunks_exact(2 * width)
        .flat_map(|row| (0..width).map(|i| twins::activation::gated(gate, row[i], row[width + i])))
        .collect();
    let whole = case.input("gate and up", &both);
    let bytes = 4 * (both.len() - width);
    let rows_at = |offset| StridedRows { slice: whole.part(offset, bytes), stride: 2 * width };
    let (gate_rows, up_rows) = (rows_at(0), rows_at(4 * width));
    let out = case.output_f32("out", expected, GATED_TOLERANCE);
    case.dispatch([Gated { activation: gate, rows, width, gate: gate_rows, up: up_rows, out }.dispatch()]);
    case
}

/// Every gate, and rows that a threadgroup does not keep.
fn gates_of_halves() -> Vec<(Gate, usize, usize)> {
    let plain = [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::ReluSquared];
    let gates = plain.map(Gate::Plain).into_iter().chain([Gate::ClampedSilu]);
    let silu = Gate::Plain(Activation::Silu);
    gates.map(|gate| (gate, 3, 37)).chain([(silu, 1, 2050), (silu, 2, 16_402)]).collect()
}

/// Results are up to 12 · 8, whose rounding to f16 is 2⁻⁵ at most; of rows whose power is not 1 that times the power.
fn gated_half_case(gate: Gate, rows: usize, width: usize) -> Case {
    let mut case = Case::new(format!("gated halves {gate:?} {rows}x{width}"));
    // The second row is so large that f16 does not hold its products.
    let large = |row: usize| if row == 1 { 4096.0 } else { 1.0 };
    let gates: Vec<f32> = (0..rows).flat_map(|row| wide_values(width, row as u64)).collect();
    let ups: Vec<f32> = (0..rows)
        .flat_map(|row| factors(width, row as u64).into_iter().map(move |value| value * large(row)))
        .collect();
    let products =
        gates.iter().zip(&ups).map(|(&gate_value, &up)| twins::activation::gated(gate, gate_value, up));
    let products: Vec<f32> = products.collect();
    let (expected, inverses) = twins::half_rows::scaled(&products, width);
    let strided = |slice| StridedRows { slice, stride: width };
    let (gate_rows, up_rows) = (strided(case.input("gate", &gates)), strided(case.input("up", &ups)));
    // The formula for erf is off by 1.5e-7 of its factors, so that it loses the small results of a row that was scaled to 2¹⁵.
    let absolute = if gate == Gate::Plain(Activation::GeluErf) { 1.5e-7 * 32_768.0 } else { 1e-6 };
    let tolerance = Tolerance { absolute, relative: 1e-3 };
    let halves = case.buffer("halves", vec![0xff; 2 * rows * width], Check::F16(expected, tolerance));
    let inverse = case.output_f32("inverse", inverses, Tolerance::EXACT);
    let out = HalfInput { halves, inverse };
    case.dispatch(
        [GatedHalf { activation: gate, rows, width, gate: gate_rows, up: up_rows, out }.dispatch()],
    );
    case
}

fn plain_case(activation: Activation, rows: usize, width: usize) -> Case {
    let mut case = Case::new(format!("{activation:?} {rows}x{width}"));
    let inputs = wide_values(rows * width, 5);
    let expected = inputs.iter().map(|&x| twins::activation::activate(activation, x)).collect();
    let input = StridedRows { slice: case.input("input", &inputs), stride: width };
    let out = case.output_f32("out", expected, TOLERANCE);
    case.dispatch([Activate { activation, rows, width, input, out }.dispatch()]);
    case
}
