//! Matrix times many rows: `kernels/gemm*.metal`.
//!
//! [`Gemm`] is the matrix unit's kernel in all tile sizes, [`GroupedGemm`] the same for experts, [`PlainGemm`] for plain
//! formats whose columns are no whole groups of 16, [`TensorGemm`] the tensor operations of Metal 4, [`SystemGemm`] the
//! device's own library.

pub(super) mod cases;
mod grouped;
mod plain;
mod system;
mod tensor;

use arrayvec::ArrayVec;

pub use grouped::GroupedGemm;
pub use plain::{PlainGemm, PlainStage};
pub use system::{FinishRows, HalfInput, HalfRows, SystemGemm};
use system::{FinishRowsArguments, HalfRowsArguments};
pub use tensor::TensorGemm;

use super::Concept;
use super::joint::JointRows;
use super::matrix::{MatrixFormat, StoredMatrix};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::{Family, names};
use crate::kernel_args;
use crate::source::KernelSource;

use wootz_weights::TensorType;

/// The gemm kernels.
pub const CONCEPT: Concept = Concept { name: "gemm", sources: SOURCES, cases: cases::cases };

macro_rules! source {
    ($file:literal) => {
        KernelSource {
            file: $file,
            text: include_str!(concat!("../../../../kernels/", $file)),
            arguments: &[GemmArguments::MSL, GroupedGemmArguments::MSL, CombineArguments::MSL],
        }
    };
}

const STAGES: usize = 0;
const COMBINE: usize = 1;
const TENSOR: usize = 16;
const SYSTEM: usize = 17;
const SOURCES: &[KernelSource] = &[
    source!("gemm_stages.metal"),
    source!("gemm_combine.metal"),
    source!("gemm_plain.metal"),
    source!("gemm_legacy.metal"),
    source!("gemm_k.metal"),
    source!("gemm_iq.metal"),
    source!("gemm_ternary.metal"),
    source!("gemm_fp4.metal"),
    source!("gemm_fp8.metal"),
    source!("gemm_nf4.metal"),
    source!("gemm_affine2.metal"),
    source!("gemm_affine3.metal"),
    source!("gemm_affine4.metal"),
    source!("gemm_affine5.metal"),
    source!("gemm_affine6.metal"),
    source!("gemm_affine8.metal"),
    source!("gemm_tensor.metal"),
    KernelSource {
        file: "gemm_system.metal",
        text: include_str!("../../../../kernels/gemm_system.metal"),
        arguments: &[HalfRowsArguments::MSL, FinishRowsArguments::MSL],
    },
];

/// The file that has a format's kernels.
fn source_of(format: MatrixFormat) -> Option<&'static KernelSource> {
    let place = match Family::of(format)? {
        Family::Plain => 2,
        Family::Legacy => 3,
        Family::K => 4,
        Family::Iq => 5,
        Family::Ternary => 6,
        Family::Fp4 => 7,
        Family::Fp8 => 8,
        Family::Nf4 => 9,
        Family::Affine(2) => 10,
        Family::Affine(3) => 11,
        Family::Affine(4) => 12,
        Family::Affine(5) => 13,
        Family::Affine(6) => 14,
        Family::Affine(_) => 15,
    };
    Some(&SOURCES[place])
}

kernel_args! {
    /// Arguments of `gemm`, `gemm_naive` and `gemm_tiled`.
    pub struct GemmArguments {
        /// Rows of input and out.
        rows: u32,
        /// Rows of the matrix, columns of out.
        outputs: u32,
        /// Columns of input and matrix.
        columns: u32,
        /// Columns of a part: all of them, or a multiple of 32.
        part_columns: u32,
        /// 1 where there is a bias.
        has_bias: u32,
    }
}

kernel_args! {
    /// Arguments of `gemm_grouped`.
    pub struct GroupedGemmArguments {
        /// Rows of an expert's matrix, columns of out.
        outputs: u32,
        /// Columns of input and matrix.
        columns: u32,
        /// How many experts there are.
        experts: u32,
        /// 1 where there are biases.
        has_bias: u32,
    }
}

kernel_args! {
    /// Arguments of `gemm_combine`.
    pub struct CombineArguments {
        /// Parts.
        parts: u32,
        /// Rows of out.
        rows: u32,
        /// Columns of the parts.
        outputs: u32,
        /// Outputs before those of the second result.
        second: u32,
        /// Outputs before those of the third result.
        third: u32,
        /// 1 where there is a bias.
        has_bias: u32,
    }
}

/// Threads of a threadgroup, whatever the tile.
const THREADS: u32 = 128;
/// Columns that a tile takes in at once, of every format but F32 (16): parts are multiples of it.
const STEP_COLUMNS: usize = 32;

/// The size of the piece of `out` that a threadgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GemmTile {
    /// 8 rows, 64 outputs.
    Rows8,
    /// 16 rows, 64 outputs.
    Rows16,
    /// 32 rows, 64 outputs.
    Rows32,
    /// 32 rows, 128 outputs: for matrices with very many, such as the head.
    Head,
    /// 64 rows, 64 outputs.
    Rows64,
}

impl GemmTile {
    /// All tiles, the smallest first.
    pub const ALL: [GemmTile; 5] =
        [GemmTile::Rows8, GemmTile::Rows16, GemmTile::Rows32, GemmTile::Head, GemmTile::Rows64];

    /// Rows of input and out.
    pub const fn rows(self) -> usize {
        match self {
            GemmTile::Rows8 => 8,
            GemmTile::Rows16 => 16,
            GemmTile::Rows32 | GemmTile::Head => 32,
            GemmTile::Rows64 => 64,
        }
    }

    /// Columns of out.
    pub const fn outputs(self) -> usize {
        if matches!(self, GemmTile::Head) { 128 } else { 64 }
    }

    /// The entry point for a format; `None` where there is none.
    pub fn entry(self, format: MatrixFormat) -> Option<&'static str> {
        source_of(format)?;
        if !has_all_tiles(format) && !matches!(self, GemmTile::Rows16 | GemmTile::Rows64) {
            return None;
        }
        match self {
            GemmTile::Rows8 => names!("gemm_rows8_")(format),
            GemmTile::Rows16 => names!("gemm_rows16_")(format),
            GemmTile::Rows32 => names!("gemm_rows32_")(format),
            GemmTile::Head => names!("gemm_head_")(format),
            GemmTile::Rows64 => names!("gemm_")(format),
        }
    }
}

/// Whether a format is common enough to have every tile (`GEMM_INSTANTIATE`) and not only those that it can't do without
/// (`GEMM_INSTANTIATE_FEW`).
pub fn has_all_tiles(format: MatrixFormat) -> bool {
    use TensorType as T;
    match format {
        MatrixFormat::Ggml(kind) => {
            matches!(
                kind,
                T::F32 | T::F16 | T::BF16 | T::Q8_0 | T::Q4_0 | T::Q4_K | T::Q5_K | T::Q6_K | T::MXFP4
            )
        }
        MatrixFormat::Affine { bits, group, .. } => matches!(bits, 4 | 8) && group == 64,
        MatrixFormat::Mxfp4 => true,
        MatrixFormat::Fp8(..) | MatrixFormat::Nf4 { .. } | MatrixFormat::Packed(_) => false,
    }
}

/// How columns are shared out to threadgroups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Columns {
    /// A threadgroup adds up all columns of its outputs: one order for every tile, so that a row's bits don't depend on
    /// the tile or on how many rows there are.
    Whole,
    /// So many threadgroups each add up a part, and a second kernel the parts (split-K).
    Parts {
        /// How many: at least 2.
        parts: usize,
        /// Of [`Gemm::scratch_bytes`].
        scratch: Slice,
    },
}

/// `out[m] = matrix · input[m] (+ bias)` on the matrix unit.
#[derive(Debug, Clone, Copy)]
pub struct Gemm {
    /// How large a piece a threadgroup computes; [`GemmTile::entry`] says which exist for a format.
    pub tile: GemmTile,
    /// Who adds up what.
    pub sum: Columns,
    /// Rows of input and out: at least 1.
    pub rows: usize,
    /// `[outputs, columns]`; columns are a multiple of 16.
    pub matrix: StoredMatrix,
    /// `[outputs]` f32.
    pub bias: Option<Slice>,
    /// `[rows, columns]` f32.
    pub input: Slice,
    /// `[rows, outputs]` f32.
    pub out: Slice,
}

impl Gemm {
    /// Whether there is a kernel for matrices of this format and width.
    pub fn covers(format: MatrixFormat, columns: usize) -> bool {
        source_of(format).is_some() && columns.is_multiple_of(16)
    }

    /// Bytes of scratch that `parts` parts of `rows` rows take.
    pub const fn scratch_bytes(parts: usize, rows: usize, outputs: usize) -> usize {
        4 * parts * rows * outputs
    }

    /// The launches: one, or two where the columns are parted, of which the second reads what the first wrote.
    ///
    /// # Panics
    /// If [`Gemm::covers`] or [`GemmTile::entry`] says no, or the scratch is too small.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 2> {
        match self.sum {
            Columns::Whole => {
                ArrayVec::from_iter([self.product(self.matrix.columns, 1, self.out, self.bias)])
            }
            Columns::Parts { parts, scratch } => {
                let columns = self.matrix.columns;
                let part = columns.div_ceil(parts).next_multiple_of(STEP_COLUMNS);
                // Rounding up may leave the last ones nothing.
                let parts = columns.div_ceil(part);
                let partial = scratch.part(0, Self::scratch_bytes(parts, self.rows, self.matrix.rows));
                let (rows, outputs) = (self.rows, self.matrix.rows);
                let out = JointRows::one(self.out, outputs);
                let combine = Combine { parts, rows, outputs, partial, bias: self.bias, out };
                ArrayVec::from_iter([self.product(part, parts, partial, None), combine.dispatch()])
            }
        }
    }

    fn product(&self, part_columns: usize, parts: usize, out: Slice, bias: Option<Slice>) -> Dispatch {
        let &Gemm { tile, rows, matrix, input, .. } = self;
        let StoredMatrix { format, rows: outputs, columns, .. } = matrix;
        assert!(Gemm::covers(format, columns), "no matrix kernel for {format} with {columns} columns");
        let entry = tile.entry(format).unwrap_or_else(|| panic!("no tile {tile:?} for {format}"));
        let source = source_of(format).expect("it has an entry point");
        let arguments = GemmArguments {
            rows: rows as u32,
            outputs: outputs as u32,
            columns: columns as u32,
            part_columns: part_columns as u32,
            has_bias: u32::from(bias.is_some()),
        };
        Dispatch {
            kernel: Kernel { source, entry },
            arguments: product_arguments(input, &matrix, bias, out, Argument::inline(&arguments)),
            grid: Grid {
                threadgroups: [
                    rows.div_ceil(tile.rows()) as u32,
                    outputs.div_ceil(tile.outputs()) as u32,
                    parts as u32,
                ],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: matrix.bytes() + 4 * (rows * columns) as u64 + bias_bytes(bias, outputs),
                bytes_written: 4 * (parts * rows * outputs) as u64,
                operations: 2 * (rows * outputs * columns) as u64,
            },
        }
    }
}

/// `out = Σ_part partial[part] (+ bias)`, in order.
#[derive(Debug, Clone, Copy)]
pub struct Combine {
    /// Parts: at least 1.
    pub parts: usize,
    /// Rows of out.
    pub rows: usize,
    /// Columns of the parts.
    pub outputs: usize,
    /// `[parts, rows, outputs]` f32.
    pub partial: Slice,
    /// `[outputs]` f32.
    pub bias: Option<Slice>,
    /// `[rows, outputs]` f32, or for several matrices one after another `[rows, their outputs]` each.
    pub out: JointRows,
}

impl Combine {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &Combine { parts, rows, outputs, partial, bias, out } = self;
        let [second, third] = out.begins();
        let inline = CombineArguments {
            parts: parts as u32,
            rows: rows as u32,
            outputs: outputs as u32,
            second,
            third,
            has_bias: u32::from(bias.is_some()),
        };
        let mut arguments =
            ArrayVec::from_iter([Argument::read(partial), Argument::read(bias.unwrap_or(partial))]);
        arguments.extend(out.written());
        arguments.push(Argument::inline(&inline));
        let elements = (rows * outputs) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[COMBINE], entry: "gemm_combine" },
            arguments,
            grid: outputs_grid(rows, outputs),
            work: Work {
                bytes_read: 4 * parts as u64 * elements + bias_bytes(bias, outputs),
                bytes_written: 4 * elements,
                operations: parts as u64 * elements,
            },
        }
    }
}

/// Buffers 0 to 6 of the matrix unit's kernels; where there is no bias, the input stands in its place.
fn product_arguments(
    input: Slice,
    matrix: &StoredMatrix,
    bias: Option<Slice>,
    out: Slice,
    arguments: Argument,
) -> ArrayVec<Argument, { crate::device::ARGUMENTS }> {
    let [data, scales, biases] = matrix.arguments();
    let bias = Argument::read(bias.unwrap_or(input));
    ArrayVec::from_iter([Argument::read(input), data, scales, biases, bias, Argument::write(out), arguments])
}

fn bias_bytes(bias: Option<Slice>, outputs: usize) -> u64 {
    bias.map_or(0, |_| 4 * outputs as u64)
}

/// One thread an output.
fn outputs_grid(rows: usize, outputs: usize) -> Grid {
    Grid {
        threadgroups: [outputs.div_ceil(THREADS as usize) as u32, rows as u32, 1],
        threads: [THREADS, 1, 1],
    }
}
