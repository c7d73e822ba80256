//! Norms: `kernels/norm.metal`.

mod cases;

use arrayvec::ArrayVec;
use wootz_spec::Norm;

use super::Concept;
use super::gemm::HalfInput;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The norm kernels.
pub const CONCEPT: Concept = Concept { name: "norm", sources: SOURCES, cases: cases::cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "norm.metal",
    text: include_str!("../../../../kernels/norm.metal"),
    arguments: &[NormArguments::MSL],
}];

kernel_args! {
    /// Arguments of the norms of rows.
    pub struct NormArguments {
        /// Elements in a row.
        width: u32,
        /// Added to the mean square.
        epsilon: f32,
        /// Added to the weight.
        offset: f32,
        /// Whether there is a bias.
        has_bias: u32,
        /// Whether the result is wanted as f32.
        has_out: u32,
    }
}

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
    /// The result.
    pub out: Normed,
}

impl RmsNorm {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let mut arguments = ArrayVec::from_iter([Argument::read(self.input), Argument::read(self.weight)]);
        arguments.extend(self.out.arguments(self.weight));
        arguments.push(Argument::inline(&self.out.told(norm_arguments(self.width, self.norm, false))));
        let entry = if self.out.halves().is_some() { "rms_norm_half" } else { "rms_norm" };
        let rows = Rows { rows: self.rows, width: self.width, added: false, vectors: 1 };
        let mut dispatch = row_norm(entry, arguments, rows);
        dispatch.work.bytes_written = (self.rows * self.width * self.out.element_bytes()) as u64;
        dispatch
    }
}

/// `residual += input`, then `out[r] = norm(residual[r]) · (weight + offset)`.
#[derive(Debug, Clone, Copy)]
pub struct AddRmsNorm {
    /// How many rows.
    pub rows: usize,
    /// Elements in each.
    pub width: usize,
    /// Epsilon and offset.
    pub norm: Norm,
    /// `[rows, width]`.
    pub input: Slice,
    /// `[rows, width]`, brought up to date.
    pub residual: Slice,
    /// `[width]`.
    pub weight: Slice,
    /// The result.
    pub out: Normed,
}

/// As what a norm's result is wanted, and where: `[rows, width]`.
#[derive(Debug, Clone, Copy)]
pub enum Normed {
    /// As f32.
    Floats(Slice),
    /// As f16.
    Halves(HalfInput),
    /// As both.
    Both(Slice, HalfInput),
}

impl Normed {
    fn floats(self) -> Option<Slice> {
        match self {
            Normed::Floats(floats) | Normed::Both(floats, _) => Some(floats),
            Normed::Halves(_) => None,
        }
    }

    fn halves(self) -> Option<HalfInput> {
        match self {
            Normed::Halves(halves) | Normed::Both(_, halves) => Some(halves),
            Normed::Floats(_) => None,
        }
    }

    /// The arguments that say where; `unused` stands where nothing is written.
    fn arguments(self, unused: Slice) -> impl Iterator<Item = Argument> {
        let floats = self.floats().map_or(Argument::read(unused), Argument::write);
        std::iter::once(floats).chain(self.halves().into_iter().flat_map(HalfInput::written))
    }

    fn told(self, arguments: NormArguments) -> NormArguments {
        NormArguments { has_out: self.floats().is_some().into(), ..arguments }
    }

    /// Bytes that are written for an element.
    fn element_bytes(self) -> usize {
        4 * usize::from(self.floats().is_some()) + 2 * usize::from(self.halves().is_some())
    }
}

impl AddRmsNorm {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let mut arguments = ArrayVec::from_iter([
            Argument::read(self.input),
            Argument::update(self.residual),
            Argument::read(self.weight),
        ]);
        arguments.extend(self.out.arguments(self.weight));
        arguments.push(Argument::inline(&self.out.told(norm_arguments(self.width, self.norm, false))));
        let entry = if self.out.halves().is_some() { "add_rms_norm_half" } else { "add_rms_norm" };
        let rows = Rows { rows: self.rows, width: self.width, added: true, vectors: 1 };
        let mut dispatch = row_norm(entry, arguments, rows);
        // The residual's four bytes an element, and the result's.
        dispatch.work.bytes_written = (self.rows * self.width * (4 + self.out.element_bytes())) as u64;
        dispatch
    }
}

/// `out[r] = (x[r] - mean) / deviation · (weight + offset) + bias`, where `x` is the input, or the residual after
/// the input was added to it.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    /// How many rows.
    pub rows: usize,
    /// Elements in each.
    pub width: usize,
    /// Epsilon and offset.
    pub norm: Norm,
    /// `[rows, width]`.
    pub input: Slice,
    /// `[rows, width]`, brought up to date; `None` norms the input itself.
    pub residual: Option<Slice>,
    /// `[width]`.
    pub weight: Slice,
    /// `[width]`.
    pub bias: Option<Slice>,
    /// `[rows, width]`.
    pub out: Slice,
}

impl LayerNorm {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let inline = norm_arguments(self.width, self.norm, self.bias.is_some());
        let mut arguments = ArrayVec::from_iter([Argument::read(self.input)]);
        arguments.extend(self.residual.map(Argument::update));
        arguments.extend([
            Argument::read(self.weight),
            Argument::read(self.bias.unwrap_or(self.weight)),
            Argument::write(self.out),
            Argument::inline(&inline),
        ]);
        let entry = if self.residual.is_some() { "add_layer_norm" } else { "layer_norm" };
        let vectors = 1 + u64::from(self.bias.is_some());
        let rows = Rows { rows: self.rows, width: self.width, added: self.residual.is_some(), vectors };
        row_norm(entry, arguments, rows)
    }
}

/// What the norms of rows differ in, apart from their arguments.
struct Rows {
    rows: usize,
    width: usize,
    /// Whether the input is first added to a residual.
    added: bool,
    /// How many `[width]` vectors are read.
    vectors: u64,
}

fn norm_arguments(width: usize, norm: Norm, has_bias: bool) -> NormArguments {
    NormArguments {
        width: width as u32,
        epsilon: norm.eps,
        offset: norm.weight_offset,
        has_bias: has_bias.into(),
        has_out: 1,
    }
}

fn row_norm(
    entry: &'static str,
    arguments: ArrayVec<Argument, { crate::device::ARGUMENTS }>,
    shape: Rows,
) -> Dispatch {
    let elements = (shape.rows * shape.width) as u64;
    let streams = 1 + u64::from(shape.added);
    Dispatch {
        kernel: Kernel { source: &SOURCES[0], entry },
        arguments,
        grid: Grid { threadgroups: [shape.rows as u32, 1, 1], threads: [row_threads(shape.width), 1, 1] },
        work: Work {
            bytes_read: 4 * (streams * elements + shape.vectors * shape.width as u64),
            bytes_written: 4 * streams * elements,
            operations: (4 + u64::from(shape.added) + 2 * (shape.vectors - 1)) * elements,
        },
    }
}

/// Threads that norm a row of `width`: four quads each, and no more than the kernels allow.
fn row_threads(width: usize) -> u32 {
    (width.div_ceil(16).next_multiple_of(32)).min(512) as u32
}
