//! Rows sorted by expert, each times its expert's matrix.

use super::{GroupedGemmArguments, THREADS, bias_bytes, has_all_tiles, product_arguments, source_of};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::names;
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};

/// Outputs of a tile.
const OUTPUTS: usize = 64;

/// `out[m] = matrices[e] · input[m] (+ bias[e])`, where row `m` is one of expert `e`'s.
#[derive(Debug, Clone, Copy)]
pub struct GroupedGemm {
    /// Rows of input and out, over all experts: at least 1.
    pub rows: usize,
    /// How many experts there are.
    pub experts: usize,
    /// `[experts · outputs, columns]`: their matrices, one after another; columns are a multiple of 16.
    pub matrices: StoredMatrix,
    /// `[experts, outputs]` f32.
    pub bias: Option<Slice>,
    /// `[experts + 1]` u32, ascending from 0 to `rows`: expert `e` has rows `offsets[e] .. offsets[e + 1]`.
    pub expert_offsets: Slice,
    /// `[rows, columns]` f32, sorted by expert.
    pub input: Slice,
    /// `[rows, outputs]` f32, sorted by expert.
    pub out: Slice,
}

impl GroupedGemm {
    /// Rows of a tile: small where an expert gets few, so that the matrix unit has less to do in vain.
    fn tile_rows(&self) -> usize {
        if self.rows <= 8 * self.experts && has_all_tiles(self.matrices.format) { 8 } else { 32 }
    }

    fn entry(format: MatrixFormat, tile_rows: usize) -> Option<&'static str> {
        if tile_rows == 8 { names!("gemm_grouped8_")(format) } else { names!("gemm_grouped_")(format) }
    }

    /// The launch.
    ///
    /// # Panics
    /// If [`super::Gemm::covers`] says no, or the rows of `matrices` are not the same number for every expert.
    pub fn dispatch(&self) -> Dispatch {
        let &GroupedGemm { rows, experts, matrices, bias, expert_offsets, input, out } = self;
        let (format, columns) = (matrices.format, matrices.columns);
        assert!(super::Gemm::covers(format, columns), "no matrix kernel for {format} with {columns} columns");
        assert!(matrices.rows.is_multiple_of(experts), "{} rows for {experts} experts", matrices.rows);
        let outputs = matrices.rows / experts;
        let tile_rows = self.tile_rows();
        let arguments = GroupedGemmArguments {
            outputs: outputs as u32,
            columns: columns as u32,
            experts: experts as u32,
            has_bias: u32::from(bias.is_some()),
        };
        let mut buffers = product_arguments(input, &matrices, bias, out, Argument::inline(&arguments));
        buffers.push(Argument::read(expert_offsets));
        // Each expert that has rows may end with a tile that is not full.
        let busy = experts.min(rows);
        let tiles = busy + (rows - busy) / tile_rows;
        Dispatch {
            kernel: Kernel {
                source: source_of(format).expect("it has kernels"),
                entry: Self::entry(format, tile_rows).expect("it has kernels"),
            },
            arguments: buffers,
            grid: Grid {
                threadgroups: [tiles as u32, outputs.div_ceil(OUTPUTS) as u32, 1],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: matrices.bytes() * busy as u64 / experts as u64
                    + 4 * (rows * columns) as u64
                    + bias_bytes(bias, busy * outputs)
                    + 4 * (experts as u64 + 1),
                bytes_written: 4 * (rows * outputs) as u64,
                operations: 2 * (rows * outputs * columns) as u64,
            },
        }
    }
}
