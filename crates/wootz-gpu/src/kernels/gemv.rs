//! Matrix times few rows: `kernels/common/gemv.h`, instantiated in `kernels/gemv_*.metal`.

mod cases;

use arrayvec::ArrayVec;
use wootz_weights::TensorType;

use super::Concept;
use super::matrix::{MatrixFormat, StoredMatrix};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::{Family, names};
use crate::kernel_args;
use crate::source::KernelSource;

/// The gemv kernels.
pub const CONCEPT: Concept = Concept { name: "gemv", sources: SOURCES, cases: cases::cases };

macro_rules! source {
    ($file:literal) => {
        KernelSource {
            file: $file,
            text: include_str!(concat!("../../../../kernels/", $file)),
            arguments: &[GemvArguments::MSL],
        }
    };
}

const SOURCES: &[KernelSource] = &[
    source!("gemv_plain.metal"),
    source!("gemv_legacy.metal"),
    source!("gemv_k.metal"),
    source!("gemv_iq.metal"),
    source!("gemv_ternary.metal"),
    source!("gemv_fp4.metal"),
    source!("gemv_fp8.metal"),
    source!("gemv_nf4.metal"),
    source!("gemv_affine2.metal"),
    source!("gemv_affine3.metal"),
    source!("gemv_affine4.metal"),
    source!("gemv_affine5.metal"),
    source!("gemv_affine6.metal"),
    source!("gemv_affine8.metal"),
];

/// The file that has a format's kernels; `None` for a format that no kernel reads.
fn source_of(format: MatrixFormat) -> Option<&'static KernelSource> {
    let file = match Family::of(format)? {
        Family::Plain => "gemv_plain.metal",
        Family::Legacy => "gemv_legacy.metal",
        Family::K => "gemv_k.metal",
        Family::Iq => "gemv_iq.metal",
        Family::Ternary => "gemv_ternary.metal",
        Family::Fp4 => "gemv_fp4.metal",
        Family::Fp8 => "gemv_fp8.metal",
        Family::Nf4 => "gemv_nf4.metal",
        Family::Affine(2) => "gemv_affine2.metal",
        Family::Affine(3) => "gemv_affine3.metal",
        Family::Affine(4) => "gemv_affine4.metal",
        Family::Affine(5) => "gemv_affine5.metal",
        Family::Affine(6) => "gemv_affine6.metal",
        Family::Affine(_) => "gemv_affine8.metal",
    };
    SOURCES.iter().find(|source| source.file == file)
}

kernel_args! {
    /// Arguments of the gemv kernels.
    pub struct GemvArguments {
        /// Elements of a row of the matrix, and of the input.
        columns: u32,
        /// Rows of the matrix: elements of a row of the result.
        outputs: u32,
        /// Rows of the input.
        batch: u32,
        /// Whether there is a bias.
        has_bias: u32,
    }
}

/// Rows of the input at most.
pub const MOST_ROWS: usize = 8;
/// Simdgroups of a threadgroup. They share nothing; two are enough for a threadgroup's own costs to vanish, and small
/// matrices still make enough threadgroups for all cores.
const SIMDGROUPS: usize = 2;

/// `out[m] = matrix · input[m] (+ bias)` for 1 to 8 rows of the input.
#[derive(Debug, Clone, Copy)]
pub struct Gemv {
    /// Rows of the input, at most [`MOST_ROWS`].
    pub rows: usize,
    /// `[rows, matrix.columns]` f32, at a multiple of 16 bytes.
    pub input: Slice,
    /// The weights.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// `[rows, matrix.rows]` f32.
    pub out: Slice,
}

impl Gemv {
    /// Whether there is a kernel for matrices of this format.
    pub fn reads(format: MatrixFormat) -> bool {
        source_of(format).is_some()
    }

    /// The kernel that multiplies this matrix with so many rows; `None` if there is none, or they are too many.
    pub fn kernel(matrix: &StoredMatrix, rows: usize) -> Option<Kernel> {
        let source = source_of(matrix.format)?;
        let loose = matrix.format.is_plain() && !is_aligned(matrix);
        let prefix = match (capacity(matrix.format, rows)?, loose) {
            (1, false) => names!("gemv_"),
            (2, false) => names!("gemv2_"),
            (4, false) => names!("gemv4_"),
            (_, false) => names!("gemv8_"),
            (1, true) => names!("gemv_loose_"),
            (2, true) => names!("gemv2_loose_"),
            (4, true) => names!("gemv4_loose_"),
            (_, true) => names!("gemv8_loose_"),
        };
        Some(Kernel { source, entry: prefix(matrix.format)? })
    }

    /// The launch.
    ///
    /// # Panics
    /// If [`Gemv::kernel`] says that there is none.
    pub fn dispatch(&self) -> Dispatch {
        let &Gemv { rows, input, matrix, bias, out } = self;
        let kernel = Gemv::kernel(&matrix, rows).expect("the shape was looked at when the kernel was chosen");
        debug_assert!(
            input.offset.is_multiple_of(16) || !is_aligned(&matrix),
            "an input at byte {}",
            input.offset
        );
        let arguments = GemvArguments {
            columns: matrix.columns as u32,
            outputs: matrix.rows as u32,
            batch: rows as u32,
            has_bias: u32::from(bias.is_some()),
        };
        let mut buffers = ArrayVec::new();
        buffers.push(Argument::read(input));
        buffers.extend(matrix.arguments());
        buffers.push(Argument::read(bias.unwrap_or(input)));
        buffers.push(Argument::write(out));
        buffers.push(Argument::inline(&arguments));
        let outputs_a_group = SIMDGROUPS * rows_a_simdgroup(capacity(matrix.format, rows).unwrap_or(1));
        let elements = matrix.rows * matrix.columns;
        Dispatch {
            kernel,
            arguments: buffers,
            grid: Grid {
                threadgroups: [matrix.rows.div_ceil(outputs_a_group) as u32, 1, 1],
                threads: [32 * SIMDGROUPS as u32, 1, 1],
            },
            work: Work {
                bytes_read: matrix.bytes()
                    + 4 * (rows * matrix.columns) as u64
                    + bias.map_or(0, |_| 4 * matrix.rows as u64),
                bytes_written: 4 * (rows * matrix.rows) as u64,
                operations: 2 * (rows * elements) as u64,
            },
        }
    }
}

/// Whether rows of a plain format can be read 16 bytes at a time; blocks always can, as far as their kernels need.
fn is_aligned(matrix: &StoredMatrix) -> bool {
    !matrix.format.is_plain()
        || (matrix.row_bytes().is_multiple_of(16) && matrix.data.offset.is_multiple_of(16))
}

/// Whether a format has kernels for every number of rows; the others have those for 1 and for 8.
fn is_frequent(format: MatrixFormat) -> bool {
    use TensorType as T;
    match format {
        MatrixFormat::Ggml(kind) => {
            matches!(
                kind,
                T::F32 | T::F16 | T::BF16 | T::Q8_0 | T::Q4_0 | T::Q4_K | T::Q5_K | T::Q6_K | T::MXFP4
            )
        }
        MatrixFormat::Affine { bits, .. } => matches!(bits, 4 | 8),
        MatrixFormat::Mxfp4 => true,
        MatrixFormat::Fp8(..) | MatrixFormat::Nf4 { .. } | MatrixFormat::Packed(_) => false,
    }
}

/// For how many rows the kernel is made that takes `rows`.
fn capacity(format: MatrixFormat, rows: usize) -> Option<usize> {
    match (rows, is_frequent(format)) {
        (1, _) => Some(1),
        (2, true) => Some(2),
        (3 | 4, true) => Some(4),
        (2..=MOST_ROWS, _) => Some(8),
        _ => None,
    }
}

/// Rows of the matrix that a simdgroup computes: as in `GEMV_INSTANTIATE`.
fn rows_a_simdgroup(capacity: usize) -> usize {
    if capacity <= 2 { 4 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::BufferId;

    fn matrix(kind: TensorType, columns: usize, offset: usize) -> StoredMatrix {
        let length = 3 * kind.row_bytes(columns).unwrap();
        let data = Slice { buffer: BufferId(0), offset, length };
        StoredMatrix::ggml(kind, 3, columns, data).unwrap()
    }

    #[test]
    fn a_kernel_is_chosen_by_format_rows_and_alignment() {
        let entry = |kind, columns, offset, rows| {
            Gemv::kernel(&matrix(kind, columns, offset), rows).map(|kernel| kernel.entry)
        };
        let table = [
            (TensorType::Q4_K, 256, 0, 1, Some("gemv_q4_k")),
            (TensorType::Q4_K, 256, 0, 2, Some("gemv2_q4_k")),
            (TensorType::Q4_K, 256, 0, 3, Some("gemv4_q4_k")),
            (TensorType::Q4_K, 256, 0, 5, Some("gemv8_q4_k")),
            (TensorType::Q4_K, 256, 0, 9, None),
            (TensorType::Q4_K, 256, 0, 0, None),
            (TensorType::Q3_K, 256, 2, 2, Some("gemv8_q3_k")),
            (TensorType::F16, 64, 16, 1, Some("gemv_f16")),
            (TensorType::F16, 64, 8, 1, Some("gemv_loose_f16")),
            (TensorType::F16, 60, 0, 8, Some("gemv8_loose_f16")),
            (TensorType::I32, 64, 0, 1, None),
        ];
        for (kind, columns, offset, rows, expected) in table {
            assert_eq!(entry(kind, columns, offset, rows), expected, "{kind} {columns} {offset} {rows}");
        }
    }
}
