//! Packed matrices times rows on NVIDIA's matrix unit: `kernels/gemm_packed.metal`, `kernels/gemm_gated.metal`,
//! `kernels/gemm_normed.metal`, `kernels/gemm_pair.metal`, `kernels/gemm_warpgroup.metal` and `kernels/pack.metal`.

mod cases;
mod gated;
mod normed;
mod pack;
mod pair;

use arrayvec::ArrayVec;

use super::Concept;
use super::gemm::{Combine, HalfInput};
use super::joint::JointRows;
use super::matrix::{MatrixFormat, Packing, StoredMatrix};
use crate::device::{Argument, DeviceFacts, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::select::Answers;
use crate::source::KernelSource;
pub use gated::{GatedGemm, LongestRow};
pub use normed::{MOST_COLUMNS, NormedGatedGemm, NormedGemm, UnnormedRow};
pub use pack::{Pack, UnpackToHalf};
pub use pair::{PackedPair, PairInput, PairMember, PairSpread};

/// The kernels.
pub const CONCEPT: Concept = Concept { name: "gemm_packed", sources: SOURCES, cases: cases::cases };

const PRODUCTS: usize = 0;
const PACK: usize = 1;
const WARPGROUPS: usize = 2;
const GATED: usize = 3;
const NORMED: usize = 4;
const PAIR: usize = 5;
const SOURCES: &[KernelSource] = &[
    KernelSource {
        file: "gemm_packed.metal",
        text: include_str!("../../../../kernels/gemm_packed.metal"),
        arguments: &[GemmPackedArguments::MSL],
    },
    KernelSource {
        file: "pack.metal",
        text: include_str!("../../../../kernels/pack.metal"),
        arguments: &[pack::PackArguments::MSL],
    },
    KernelSource {
        file: "gemm_warpgroup.metal",
        text: include_str!("../../../../kernels/gemm_warpgroup.metal"),
        arguments: &[GemmPackedArguments::MSL],
    },
    KernelSource {
        file: "gemm_gated.metal",
        text: include_str!("../../../../kernels/gemm_gated.metal"),
        arguments: &[gated::GemmGatedArguments::MSL, gated::LongestRowArguments::MSL],
    },
    KernelSource {
        file: "gemm_normed.metal",
        text: include_str!("../../../../kernels/gemm_normed.metal"),
        arguments: &[normed::GemmNormedArguments::MSL, normed::GemmNormedGatedArguments::MSL],
    },
    KernelSource {
        file: "gemm_pair.metal",
        text: include_str!("../../../../kernels/gemm_pair.metal"),
        arguments: &[pair::GemmPairArguments::MSL],
    },
];

kernel_args! {
    /// Arguments of products.
    pub struct GemmPackedArguments {
        /// Elements of a row of the matrix, and of the input.
        columns: u32,
        /// Rows of the matrix.
        outputs: u32,
        /// Outputs before those of the second result.
        second: u32,
        /// Outputs before those of the third result.
        third: u32,
        /// Rows of the input.
        rows: u32,
        /// Whether there is a bias.
        has_bias: u32,
        /// Columns of a part.
        part_columns: u32,
    }
}

/// Rows of the input that share what is loaded of the matrix at most.
pub const MOST_ROWS: usize = 64;
/// Rows that one instruction of the matrix unit takes.
const FEW_ROWS: usize = 8;
/// Rows that a threadgroup takes of few.
const MOST_FEW_ROWS: usize = 2 * FEW_ROWS;
/// Outputs of a threadgroup for more than few rows.
const STAGED_OUTPUTS: usize = 256;
/// Threads of such a threadgroup: a simdgroup for two records, or for one.
const STAGED_THREADS: u32 = 256;
const WARPGROUP_THREADS: u32 = 512;
/// Columns of such a threadgroup at least: with fewer, starting costs more than multiplying.
const LEAST_PART: usize = 512;

/// Which rows share what is loaded of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// One, eight or sixteen, of any number: a row's bits are the same beside any others.
    Few(Spread),
    /// All of up to [`MOST_ROWS`], with so many parts of the columns.
    All {
        /// Who multiplies.
        by: Multiplier,
        /// At least 1; fewer are made where the columns are too few.
        parts: usize,
    },
}

/// What multiplies with an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Multiplier {
    /// A simdgroup, whose factors lie in registers.
    Simdgroup,
    /// Four together, where the device has [`warpgroup_products`](crate::device::DeviceFacts::warpgroup_products).
    Warpgroup,
}

/// How the records of a matrix are spread over a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spread {
    /// Simdgroups of a threadgroup, which part the columns: 4, 8 or 16.
    pub simdgroups: u32,
    /// Threadgroups, each of which takes every so manieth unit of outputs.
    pub threadgroups: u32,
}

impl Spread {
    /// Simdgroups of the kernel that a core holds: 128 registers for each thread.
    const HELD: usize = 16;

    /// The one with which all cores are done earliest, or nearly, in units of so many tiles. It depends on the device and the matrix
    /// alone, and so do a row's bits.
    fn of(facts: &DeviceFacts, matrix: &StoredMatrix, tiles: usize) -> Spread {
        let cores = facts.cores.map_or(1, |cores| cores as usize);
        let units = matrix.rows.div_ceil(tiles * Packing::OUTPUTS);
        // Simdgroups take two records at a time.
        let chunks = Packing::records(matrix.columns) / 2;
        let spread = |simdgroups: usize| {
            let threadgroups = units.min(cores * Self::HELD / simdgroups);
            // Chunks that a simdgroup takes one after another.
            let depth = units.div_ceil(threadgroups) * chunks.div_ceil(simdgroups);
            (depth, Spread { simdgroups: simdgroups as u32, threadgroups: threadgroups as u32 })
        };
        let spreads = [4, 8, 16].map(spread);
        let least = spreads.iter().map(|(depth, _)| *depth).min().expect("three");
        // Of those that are nearly equal the first, whose simdgroups wait for fewer others: 16 take up to a fifth longer.
        spreads.into_iter().find(|(depth, _)| 32 * depth <= 33 * least).expect("the least is one of them").1
    }

    /// For so many rows.
    fn grid(self, rows: usize) -> Grid {
        Grid {
            threadgroups: [self.threadgroups, rows.div_ceil(rows_together(rows)) as u32, 1],
            threads: [32 * self.simdgroups, 1, 1],
        }
    }
}

/// Rows that a threadgroup takes, of so many.
const fn rows_together(rows: usize) -> usize {
    if rows <= FEW_ROWS { FEW_ROWS } else { MOST_FEW_ROWS }
}

/// Tiles of 16 outputs that kernels for few rows of a packing take at once: `kernels/gemm_packed.metal` has what registers hold.
fn tiles(packing: Packing, rows: usize) -> usize {
    match (packing, rows) {
        (Packing::Halves, ..=FEW_ROWS) => 2,
        (Packing::Halves, _) | (_, ..=FEW_ROWS) => 1,
        _ => 2,
    }
}

/// `out[m] = matrix · input[m] (+ bias)`.
#[derive(Debug, Clone, Copy)]
pub struct PackedGemm {
    /// How.
    pub sharing: Sharing,
    /// Rows of the input.
    pub rows: usize,
    /// The weights, packed.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// The input as f16.
    pub input: HalfInput,
    /// Of [`PackedGemm::scratch_bytes`].
    pub scratch: Slice,
    /// `[rows, matrix.rows]` f32, or for several matrices one after another `[rows, their rows]` each.
    pub out: JointRows,
}

/// The packing of a matrix; `None` where it is not packed.
pub fn packing(matrix: &StoredMatrix) -> Option<Packing> {
    match matrix.format {
        MatrixFormat::Packed(packing) => Some(packing),
        _ => None,
    }
}

/// An entry point's name for each packing.
macro_rules! packed {
    ($prefix:literal, $packing:expr) => {
        match $packing {
            Packing::Nibbles => concat!($prefix, "nibbles"),
            Packing::FiveBits => concat!($prefix, "five_bits"),
            Packing::SixBits => concat!($prefix, "six_bits"),
            Packing::Bytes => concat!($prefix, "bytes"),
            Packing::Halves => concat!($prefix, "halves"),
        }
    };
}
use packed;

impl PackedGemm {
    /// The kernel for so many rows of a packing; `None` where there is none.
    pub fn kernel(packing: Packing, sharing: Sharing, rows: usize) -> Option<Kernel> {
        use Multiplier::{Simdgroup, Warpgroup};
        let entry = match (sharing, rows) {
            (_, 0) => return None,
            (Sharing::Few(_), 1) => packed!("gemm_packed1_", packing),
            (Sharing::Few(_), ..=FEW_ROWS) => packed!("gemm_packed8_", packing),
            (Sharing::Few(_), _) => packed!("gemm_packed16_", packing),
            (Sharing::All { by: Simdgroup, .. }, ..=32) => packed!("gemm_staged32_", packing),
            (Sharing::All { by: Simdgroup, .. }, ..=MOST_ROWS) => packed!("gemm_staged64_", packing),
            // A kernel for 32 rows was no faster: fewer products hide less of the waiting.
            (Sharing::All { by: Warpgroup, .. }, ..=MOST_ROWS) => packed!("gemm_warpgroup_", packing),
            _ => return None,
        };
        let source = match sharing {
            Sharing::All { by: Warpgroup, .. } => &SOURCES[WARPGROUPS],
            _ => &SOURCES[PRODUCTS],
        };
        Some(Kernel { source, entry })
    }

    /// The ways to multiply so many rows on a device, the one first that is fastest. Only [`Sharing::Few`] takes more than
    /// [`MOST_ROWS`], and gives reproducible answers: then it is spread as for the fewest rows, whatever their number.
    ///
    /// # Panics
    /// If the matrix is not packed.
    pub fn ways(
        facts: &DeviceFacts,
        answers: Answers,
        rows: usize,
        matrix: &StoredMatrix,
    ) -> ArrayVec<Sharing, 3> {
        let packing = packing(matrix).expect("a packed matrix");
        let cores = facts.cores.map_or(1, |cores| cores as usize);
        let few = |rows| Sharing::Few(Spread::of(facts, matrix, tiles(packing, rows)));
        if answers == Answers::Reproducible {
            return ArrayVec::from_iter([few(1)]);
        }
        // A core holds one threadgroup.
        let parts =
            (cores / matrix.rows.div_ceil(STAGED_OUTPUTS)).clamp(1, matrix.columns.div_ceil(LEAST_PART));
        let all = |by| Sharing::All { by, parts };
        let warpgroups = facts.warpgroup_products.then(|| all(Multiplier::Warpgroup));
        let all = warpgroups.into_iter().chain([all(Multiplier::Simdgroup)]);
        if rows <= MOST_FEW_ROWS {
            [few(rows)].into_iter().chain(all).collect()
        } else if rows <= MOST_ROWS {
            all.chain([few(rows)]).collect()
        } else {
            ArrayVec::from_iter([few(rows)])
        }
    }

    /// Bytes of scratch at most.
    pub const fn scratch_bytes(sharing: Sharing, rows: usize, outputs: usize) -> usize {
        match sharing {
            Sharing::All { parts, .. } if parts > 1 => 4 * parts * rows * outputs,
            _ => 0,
        }
    }

    /// The launches: one, or two where the columns are parted.
    ///
    /// # Panics
    /// If [`PackedGemm::kernel`] says that there is none, or the scratch is too small.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 2> {
        let &PackedGemm { sharing, rows, matrix, bias, scratch, out, .. } = self;
        let (columns, outputs) = (matrix.columns, matrix.rows);
        let Sharing::All { parts, .. } = sharing else {
            return ArrayVec::from_iter([self.product(columns, 1, out, bias)]);
        };
        let part = columns.div_ceil(parts).next_multiple_of(Packing::COLUMNS);
        // Rounding up may leave the last ones nothing.
        let parts = columns.div_ceil(part);
        if parts == 1 {
            return ArrayVec::from_iter([self.product(part, 1, out, bias)]);
        }
        let partial = scratch.part(0, 4 * parts * rows * outputs);
        let combine = Combine { parts, rows, outputs, partial, bias, out };
        let sums = JointRows::one(partial, outputs);
        ArrayVec::from_iter([self.product(part, parts, sums, None), combine.dispatch()])
    }

    fn product(&self, part_columns: usize, parts: usize, out: JointRows, bias: Option<Slice>) -> Dispatch {
        let &PackedGemm { sharing, rows, matrix, input, .. } = self;
        let StoredMatrix { rows: outputs, columns, .. } = matrix;
        let packing = packing(&matrix).expect("a packed matrix");
        let kernel = Self::kernel(packing, sharing, rows).expect("looked at when the kernel was chosen");
        let [second, third] = out.begins();
        let inline = GemmPackedArguments {
            columns: columns as u32,
            outputs: outputs as u32,
            second,
            third,
            rows: rows as u32,
            has_bias: u32::from(bias.is_some()),
            part_columns: part_columns as u32,
        };
        let grid = match sharing {
            Sharing::Few(spread) => spread.grid(rows),
            Sharing::All { by, .. } => {
                let threads = match by {
                    Multiplier::Simdgroup => STAGED_THREADS,
                    Multiplier::Warpgroup => WARPGROUP_THREADS,
                };
                let blocks = outputs.div_ceil(STAGED_OUTPUTS) as u32;
                Grid { threadgroups: [blocks, parts as u32, 1], threads: [threads, 1, 1] }
            }
        };
        let mut arguments = ArrayVec::from_iter([
            Argument::read(input.halves),
            Argument::read(input.inverse),
            Argument::read(matrix.data),
            Argument::read(bias.unwrap_or(input.inverse)),
        ]);
        arguments.extend(out.written());
        arguments.push(Argument::inline(&inline));
        Dispatch {
            kernel,
            arguments,
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
