//! Rows times the matrices of their experts: `kernels/moe_gemv_*.metal`.

use arrayvec::ArrayVec;
use wootz_weights::TensorType;

use super::{MoeGemvArguments, SOURCES};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::{Family, names};
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};

/// Outputs of a simdgroup: `ROWS` of the kernel.
const OUTPUTS: usize = 4;
/// Simdgroups of a threadgroup.
const SIMDGROUPS: usize = 4;
/// Bytes at which a plain row begins to be read as vectors.
const VECTOR: usize = 16;

/// `out[p] = W[experts[p]] · input[p / pairs_per_row] (+ bias[experts[p]])`.
#[derive(Debug, Clone, Copy)]
pub struct ExpertGemv {
    /// How many pairs of a row and an expert.
    pub pairs: usize,
    /// Neighbouring pairs that share a row of the input: the slots for a first projection, 1 for one of its results.
    pub pairs_per_row: usize,
    /// Outputs of each expert.
    pub outputs: usize,
    /// `[experts · outputs, columns]`: the experts' matrices one after another.
    pub matrix: StoredMatrix,
    /// `[pairs / pairs_per_row, columns]` f32.
    pub input: Slice,
    /// `[experts, outputs]` f32.
    pub bias: Option<Slice>,
    /// `[pairs]` u32.
    pub experts: Slice,
    /// `[pairs, outputs]` f32.
    pub out: Slice,
}

/// No kernel multiplies experts of a format.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "experts in {format} can't be multiplied: there are kernels for the plain, legacy and k formats, four-bit floats, and 4 and 8 bits of MLX"
)]
pub struct NoExpertGemv {
    /// The format.
    pub format: MatrixFormat,
}

impl ExpertGemv {
    /// The launch.
    ///
    /// # Errors
    /// When no kernel reads the format.
    pub fn dispatch(&self) -> Result<Dispatch, NoExpertGemv> {
        let kernel = kernel(&self.matrix).ok_or(NoExpertGemv { format: self.matrix.format })?;
        let columns = self.matrix.columns;
        let arguments = MoeGemvArguments {
            outputs: self.outputs as u32,
            columns: columns as u32,
            pairs_per_row: self.pairs_per_row as u32,
            has_bias: self.bias.is_some().into(),
        };
        let (pairs, outputs) = (self.pairs as u64, self.outputs as u64);
        let expert_bytes = self.matrix.bytes() * outputs / self.matrix.rows as u64;
        let inputs = pairs / self.pairs_per_row as u64 * columns as u64;
        let bias_bytes = if self.bias.is_some() { 4 * pairs * outputs } else { 0 };
        let [data, scales, biases] = self.matrix.arguments();
        Ok(Dispatch {
            kernel,
            arguments: ArrayVec::from_iter([
                Argument::read(self.input),
                data,
                scales,
                biases,
                Argument::read(self.bias.unwrap_or(self.input)),
                Argument::read(self.experts),
                Argument::write(self.out),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [self.outputs.div_ceil(OUTPUTS * SIMDGROUPS) as u32, self.pairs as u32, 1],
                threads: [32 * SIMDGROUPS as u32, 1, 1],
            },
            work: Work {
                bytes_read: pairs * (expert_bytes + 4) + 4 * inputs + bias_bytes,
                bytes_written: 4 * pairs * outputs,
                operations: 2 * pairs * outputs * columns as u64,
            },
        })
    }
}

/// The kernel that reads a matrix of experts; `None` if there is none.
fn kernel(matrix: &StoredMatrix) -> Option<Kernel> {
    let source = match Family::of(matrix.format)? {
        Family::Plain => &SOURCES[1],
        Family::Legacy => &SOURCES[2],
        Family::K => &SOURCES[3],
        Family::Fp4 => &SOURCES[4],
        Family::Affine(4) => &SOURCES[5],
        Family::Affine(8) => &SOURCES[6],
        _ => return None,
    };
    let aligned = matrix.data.offset.is_multiple_of(VECTOR) && matrix.row_bytes().is_multiple_of(VECTOR);
    let entry = match matrix.format {
        MatrixFormat::Ggml(TensorType::F32) if !aligned => "moe_gemv_loose_f32",
        MatrixFormat::Ggml(TensorType::F16) if !aligned => "moe_gemv_loose_f16",
        MatrixFormat::Ggml(TensorType::BF16) if !aligned => "moe_gemv_loose_bf16",
        format => names!("moe_gemv_")(format)?,
    };
    Some(Kernel { source, entry })
}
