//! Rows picked out of a matrix, and whole matrices as f16: `kernels/embedding*.metal`.

mod cases;
mod dequantize;
mod gather;

use arrayvec::ArrayVec;

pub use dequantize::DequantizeToHalf;
pub use gather::{Gather, GatherAdd};

use super::Concept;
use super::matrix::{MatrixFormat, StoredMatrix};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::formats::{Family, names};
use crate::kernel_args;
use crate::source::KernelSource;

/// The embedding kernels.
pub const CONCEPT: Concept = Concept { name: "embedding", sources: SOURCES, cases: cases::cases };

macro_rules! source {
    ($file:literal) => {
        KernelSource {
            file: $file,
            text: include_str!(concat!("../../../../kernels/", $file)),
            arguments: &[
                EmbedArguments::MSL,
                dequantize::DequantizeArguments::MSL,
                gather::GatherArguments::MSL,
            ],
        }
    };
}

const SOURCES: &[KernelSource] = &[
    source!("embedding.metal"),
    source!("embedding_legacy.metal"),
    source!("embedding_k.metal"),
    source!("embedding_iq.metal"),
    source!("embedding_ternary.metal"),
    source!("embedding_fp4.metal"),
    source!("embedding_fp8.metal"),
    source!("embedding_nf4.metal"),
    source!("embedding_affine2.metal"),
    source!("embedding_affine3.metal"),
    source!("embedding_affine4.metal"),
    source!("embedding_affine5.metal"),
    source!("embedding_affine6.metal"),
    source!("embedding_affine8.metal"),
];

/// The file that has a format's kernels; `None` for a format that no kernel reads.
fn source_of(format: MatrixFormat) -> Option<&'static KernelSource> {
    let place = match Family::of(format)? {
        Family::Plain => 0,
        Family::Legacy => 1,
        Family::K => 2,
        Family::Iq => 3,
        Family::Ternary => 4,
        Family::Fp4 => 5,
        Family::Fp8 => 6,
        Family::Nf4 => 7,
        Family::Affine(2) => 8,
        Family::Affine(3) => 9,
        Family::Affine(4) => 10,
        Family::Affine(5) => 11,
        Family::Affine(6) => 12,
        Family::Affine(_) => 13,
    };
    Some(&SOURCES[place])
}

kernel_args! {
    /// Arguments of `embed`.
    pub struct EmbedArguments {
        /// Rows of the result.
        rows: u32,
        /// Elements of a row.
        columns: u32,
        /// What they are multiplied by.
        scale: f32,
    }
}

/// Threads of a threadgroup.
const THREADS: usize = 64;

/// A launch of at least `threads` threads in a line.
fn line_of(threads: usize) -> Grid {
    Grid { threadgroups: [threads.div_ceil(THREADS) as u32, 1, 1], threads: [THREADS as u32, 1, 1] }
}

/// Threads for a row: one for four elements of a plain format, for sixteen of any other.
fn threads_of_row(format: MatrixFormat, columns: usize) -> usize {
    columns.div_ceil(if format.is_plain() { 4 } else { 16 })
}

/// Added to a row number, among the tokens of a step or in a history: the token that this row of the previous step chose.
pub const PREVIOUS_ROW: u32 = 1 << 31;

/// `out[r] = table[tokens[r]] · scale`.
#[derive(Debug, Clone, Copy)]
pub struct Embed {
    /// How many rows.
    pub rows: usize,
    /// `[vocabulary, width]`.
    pub table: StoredMatrix,
    /// What its rows are multiplied by.
    pub scale: f32,
    /// `[rows]` u32, each below the table's rows or a row of the step before ([`PREVIOUS_ROW`]).
    pub tokens: Slice,
    /// The tokens that the step before chose, u32. Any slice where none of the tokens names one.
    pub previous: Slice,
    /// `[rows, width]` f32, at a multiple of 16 bytes.
    pub out: Slice,
}

impl Embed {
    /// Whether there is a kernel for tables of this format.
    pub fn reads(format: MatrixFormat) -> bool {
        source_of(format).is_some()
    }

    /// The launch.
    ///
    /// # Panics
    /// If [`Embed::reads`] says no.
    pub fn dispatch(&self) -> Dispatch {
        let &Embed { rows, table, scale, tokens, previous, out } = self;
        let source = source_of(table.format).expect("the format was looked at when the table was loaded");
        let entry = names!("embed_")(table.format).expect("a source has the entry");
        let arguments = EmbedArguments { rows: rows as u32, columns: table.columns as u32, scale };
        let mut buffers = ArrayVec::from_iter(table.arguments());
        buffers.extend([tokens, previous].map(Argument::read));
        buffers.push(Argument::write(out));
        buffers.push(Argument::inline(&arguments));
        let elements = (rows * table.columns) as u64;
        Dispatch {
            kernel: Kernel { source, entry },
            arguments: buffers,
            grid: line_of(rows * threads_of_row(table.format, table.columns)),
            work: Work {
                // Rows of the table, each with its share of the scales.
                bytes_read: rows as u64 * table.bytes().div_ceil(table.rows as u64) + 4 * rows as u64,
                bytes_written: 4 * elements,
                operations: elements,
            },
        }
    }
}
