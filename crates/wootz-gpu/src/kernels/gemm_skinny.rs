//! Matrix times 1 to 64 rows on NVIDIA's matrix unit: `kernels/common/gemm_skinny.h`.

mod cases;

use arrayvec::ArrayVec;
use wootz_weights::TensorType;

use super::Concept;
use super::gemm::{Combine, HalfInput};
use super::matrix::{MatrixFormat, StoredMatrix};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::{Family, names};
use crate::kernel_args;
use crate::source::KernelSource;

/// The kernels.
pub const CONCEPT: Concept = Concept { name: "gemm_skinny", sources: SOURCES, cases: cases::cases };

macro_rules! source {
    ($file:literal) => {
        KernelSource {
            file: $file,
            text: include_str!(concat!("../../../../kernels/", $file)),
            arguments: &[GemmSkinnyArguments::MSL],
        }
    };
}

const SOURCES: &[KernelSource] = &[
    source!("gemm_skinny_k.metal"),
    source!("gemm_skinny_legacy.metal"),
    source!("gemm_skinny_plain.metal"),
];

kernel_args! {
    /// Arguments of the skinny kernels.
    pub struct GemmSkinnyArguments {
        /// Elements of a row of the matrix, and of the input.
        columns: u32,
        /// Rows of the matrix: elements of a row of the result.
        outputs: u32,
        /// Rows of the input.
        rows: u32,
        /// Whether there is a bias.
        has_bias: u32,
        /// Columns of a part.
        part_columns: u32,
    }
}

/// Rows of the input at most.
pub const MOST_ROWS: usize = 64;
/// Rows that need no threadgroup memory for the input.
const FEW_ROWS: usize = 8;
/// Outputs of a threadgroup, for few rows and for more.
const OUTPUTS: [usize; 2] = [16, 128];
/// Threads of a threadgroup for more than few rows.
const STAGED_THREADS: u32 = 256;
/// Parts of columns are multiples of this.
const PART_STEP: usize = 256;

/// `out[m] = matrix · input[m] (+ bias)` for 1 to 64 rows.
#[derive(Debug, Clone, Copy)]
pub struct SkinnyGemm {
    /// Parts that the columns of more than 8 rows are cut into; fewer, where they are too few.
    pub parts: usize,
    /// Rows of the input, at most [`MOST_ROWS`].
    pub rows: usize,
    /// The weights.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// The input as f16, interleaved.
    pub input: HalfInput,
    /// Of [`SkinnyGemm::scratch_bytes`].
    pub scratch: Slice,
    /// `[rows, matrix.rows]` f32.
    pub out: Slice,
}

impl SkinnyGemm {
    /// The formats that it reads.
    pub const FORMATS: [MatrixFormat; 5] = [
        MatrixFormat::Ggml(TensorType::F16),
        MatrixFormat::Ggml(TensorType::Q8_0),
        MatrixFormat::Ggml(TensorType::Q4_K),
        MatrixFormat::Ggml(TensorType::Q5_K),
        MatrixFormat::Ggml(TensorType::Q6_K),
    ];

    /// The kernel for so many rows; `None` where there is none.
    pub fn kernel(matrix: &StoredMatrix, rows: usize) -> Option<Kernel> {
        let StoredMatrix { format, columns, data, .. } = *matrix;
        // Plain rows are read 16 bytes at a time; blocks say themselves where they begin.
        let aligned = !format.is_plain() || data.offset.is_multiple_of(16);
        if !aligned || !columns.is_multiple_of(32) || !Self::FORMATS.contains(&format) {
            return None;
        }
        let source = match Family::of(format)? {
            Family::K => &SOURCES[0],
            Family::Legacy => &SOURCES[1],
            _ => &SOURCES[2],
        };
        let name = match rows {
            1..=FEW_ROWS => names!("gemm_skinny_"),
            9..=16 => names!("gemm_staged16_"),
            17..=32 => names!("gemm_staged32_"),
            33..=MOST_ROWS => names!("gemm_staged64_"),
            _ => return None,
        };
        Some(Kernel { source, entry: name(format)? })
    }

    /// Parts that give each of a device's cores as many threadgroups as it holds.
    pub fn parts(cores: usize, rows: usize, matrix: &StoredMatrix) -> usize {
        let held = match rows {
            0..=FEW_ROWS => return 1,
            9..=32 => 2 * cores,
            _ => cores,
        };
        (held / matrix.rows.div_ceil(OUTPUTS[1])).clamp(1, matrix.columns.div_ceil(PART_STEP))
    }

    /// Columns of a part, and parts.
    fn parted(&self) -> (usize, usize) {
        let columns = self.matrix.columns;
        let part = columns.div_ceil(self.parts).next_multiple_of(PART_STEP);
        (part, columns.div_ceil(part))
    }

    /// Bytes of scratch at most.
    pub const fn scratch_bytes(parts: usize, rows: usize, outputs: usize) -> usize {
        if parts > 1 { 4 * parts * rows * outputs } else { 0 }
    }

    /// The launches: one, or two where the columns are parted.
    ///
    /// # Panics
    /// If [`SkinnyGemm::kernel`] says that there is none, or the scratch is too small.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 2> {
        let &SkinnyGemm { rows, matrix, bias, scratch, out, .. } = self;
        let (columns, outputs) = (matrix.columns, matrix.rows);
        let (part, parts) = if rows <= FEW_ROWS { (columns, 1) } else { self.parted() };
        if parts == 1 {
            return ArrayVec::from_iter([self.product(part, 1, out, bias)]);
        }
        let partial = scratch.part(0, Self::scratch_bytes(parts, rows, outputs));
        let combine = Combine { parts, rows, outputs, partial, bias, out };
        ArrayVec::from_iter([self.product(part, parts, partial, None), combine.dispatch()])
    }

    fn product(&self, part_columns: usize, parts: usize, out: Slice, bias: Option<Slice>) -> Dispatch {
        let &SkinnyGemm { rows, matrix, input, .. } = self;
        let StoredMatrix { rows: outputs, columns, .. } = matrix;
        let kernel = Self::kernel(&matrix, rows).expect("the shape was looked at when the kernel was chosen");
        let arguments = GemmSkinnyArguments {
            columns: columns as u32,
            outputs: outputs as u32,
            rows: rows as u32,
            has_bias: u32::from(bias.is_some()),
            part_columns: part_columns as u32,
        };
        let [data, scales, biases] = matrix.arguments();
        let grid = if rows <= FEW_ROWS {
            let threads = [32 * simdgroups(&matrix), 1, 1];
            Grid { threadgroups: [outputs.div_ceil(OUTPUTS[0]) as u32, 1, 1], threads }
        } else {
            let threadgroups = [outputs.div_ceil(OUTPUTS[1]) as u32, parts as u32, 1];
            Grid { threadgroups, threads: [STAGED_THREADS, 1, 1] }
        };
        Dispatch {
            kernel,
            arguments: ArrayVec::from_iter([
                Argument::read(input.halves),
                Argument::read(input.inverse),
                data,
                scales,
                biases,
                Argument::read(bias.unwrap_or(input.inverse)),
                Argument::write(out),
                Argument::inline(&arguments),
            ]),
            grid,
            work: Work {
                bytes_read: matrix.bytes()
                    + (2 * rows * columns) as u64
                    + bias.map_or(0, |_| 4 * outputs as u64),
                bytes_written: (4 * parts * rows * outputs) as u64,
                operations: (2 * rows * outputs * columns) as u64,
            },
        }
    }
}

/// Simdgroups of a threadgroup for few rows. They part the columns: as many as give each a few strips, and more where there
/// are few outputs. It depends on nothing but the matrix, so that a row's bits do not either.
fn simdgroups(matrix: &StoredMatrix) -> u32 {
    let short_strips = matrix.format.block_elements() <= 32;
    if short_strips && matrix.rows <= 8192 { 16 } else { 8 }
}
