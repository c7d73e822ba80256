//! Plain formats with any number of columns: `kernels/gemm_stages.metal`.

use arrayvec::ArrayVec;

use super::{GemmArguments, SOURCES, STAGES, bias_bytes, outputs_grid};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::names;
use crate::kernels::matrix::StoredMatrix;

/// Rows and outputs of a tile.
const TILE: usize = 32;
/// Threads that compute it.
const TILE_THREADS: u32 = 64;

/// Which of the two kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlainStage {
    /// One thread an output: where there are few.
    Naive,
    /// Tiles of 32x32 in threadgroup memory.
    Tiled,
}

/// `out[m] = matrix · input[m] (+ bias)` without the matrix unit, for F32, F16 and BF16 with any number of columns.
#[derive(Debug, Clone, Copy)]
pub struct PlainGemm {
    /// Which kernel.
    pub stage: PlainStage,
    /// Rows of input and out: at least 1.
    pub rows: usize,
    /// `[outputs, columns]`.
    pub matrix: StoredMatrix,
    /// `[outputs]` f32.
    pub bias: Option<Slice>,
    /// `[rows, columns]` f32.
    pub input: Slice,
    /// `[rows, outputs]` f32.
    pub out: Slice,
}

impl PlainGemm {
    /// The launch.
    ///
    /// # Panics
    /// If the format is not plain.
    pub fn dispatch(&self) -> Dispatch {
        let &PlainGemm { stage, rows, matrix, bias, input, out } = self;
        let StoredMatrix { format, rows: outputs, columns, .. } = matrix;
        assert!(format.is_plain(), "{format} is no plain format");
        let (entry, grid) = match stage {
            PlainStage::Naive => (names!("gemm_naive_")(format), outputs_grid(rows, outputs)),
            PlainStage::Tiled => {
                let threadgroups = [outputs.div_ceil(TILE) as u32, rows.div_ceil(TILE) as u32, 1];
                (names!("gemm_tiled_")(format), Grid { threadgroups, threads: [TILE_THREADS, 1, 1] })
            }
        };
        let arguments = GemmArguments {
            rows: rows as u32,
            outputs: outputs as u32,
            columns: columns as u32,
            part_columns: columns as u32,
            has_bias: u32::from(bias.is_some()),
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[STAGES], entry: entry.expect("plain formats have names") },
            arguments: ArrayVec::from_iter([
                Argument::read(input),
                Argument::read(matrix.data),
                Argument::read(bias.unwrap_or(input)),
                Argument::write(out),
                Argument::inline(&arguments),
            ]),
            grid,
            work: Work {
                bytes_read: matrix.bytes() + 4 * (rows * columns) as u64 + bias_bytes(bias, outputs),
                bytes_written: 4 * (rows * outputs) as u64,
                operations: 2 * (rows * outputs * columns) as u64,
            },
        }
    }
}
