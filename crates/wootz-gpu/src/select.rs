//! Which kernel multiplies a matrix with so many rows: a function of the shape and of what is known of the device.
//!
//! [`candidates`] lists all kernels that can, the one first that the tables below expect to be fastest. [`choose`] takes
//! that one, unless a measurement on the device found another to be faster (`wootz tune`) or an examination found it
//! wrong (`wootz doctor`).
//!
//! The expectation follows from two limits. With few rows, time is that of reading the matrix, so the kernel that reads
//! it once and does nothing else wins ([`Gemv`]). With many, it is that of the multiplications, and tiles on the matrix
//! unit win, the larger the better, for each number brought to the core is then used more often; but no larger than the
//! rows fill. A matrix with few outputs makes too few tiles for all cores: its columns are parted among threadgroups.
//!
//! NVIDIA's matrix unit takes weights straight from registers, so there a packed matrix is read once for up to 64 rows
//! ([`PackedGemm`]), and beyond them cuBLAS is known to be faster than our tiles.

use arrayvec::ArrayVec;

use crate::choices::Choices;
use crate::device::{DeviceFacts, Family};
use crate::kernels::gemm::{Gemm, GemmTile, PlainStage, TensorGemm};
use crate::kernels::gemm_packed;
use crate::kernels::gemm_packed::{Multiplier, PackedGemm, Sharing, UnpackToHalf, packing};
use crate::kernels::gemv::{Gemv, MOST_ROWS};
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};

/// What a row's result may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Answers {
    /// The kernel that is fastest for each step, so in the last bits on what else is in the step.
    #[default]
    Fastest,
    /// On the row alone, bit for bit: one order of summation for any number of rows.
    Reproducible,
}

/// Whose kernels multiply many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Library {
    /// Ours, and the device's own library where it was measured to be faster, or is known to be: on NVIDIA GPUs.
    #[default]
    Auto,
    /// Only ours.
    Own,
    /// The device's own, for more than [`MOST_ROWS`] rows.
    System,
}

/// A product to choose for: `[rows, columns]` times the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input, at least 1.
    pub rows: usize,
    /// The weights.
    pub matrix: StoredMatrix,
    /// Whether a bias is added.
    pub bias: bool,
}

/// A way to multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// [`Gemv`]: the matrix is read once for up to [`MOST_ROWS`] rows.
    Gemv,
    /// [`PackedGemm`], for matrices that were packed when they were loaded.
    Packed(Sharing),
    /// [`Gemm`] with whole columns.
    Tiles(GemmTile),
    /// [`Gemm`] with so many parts of the columns, which needs [`Gemm::scratch_bytes`].
    Parts(GemmTile, usize),
    /// [`PlainGemm`](crate::kernels::gemm::PlainGemm): plain formats of any width, without the matrix unit.
    Plain(PlainStage),
    /// [`TensorGemm`]: the tensor operations of Metal 4. Never the expected one, because people measured wrong numbers
    /// with them: only where `wootz tune` found it to be right and faster.
    Tensor,
    /// [`SystemGemm`](crate::kernels::gemm::SystemGemm), which needs its scratch.
    System,
}

/// What a choice keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What results may depend on.
    pub answers: Answers,
    /// Whose kernels are used.
    pub library: Library,
    /// What was found out about the device.
    pub choices: &'a Choices,
}

impl Shape {
    /// A name for all shapes between which kernels make no difference: format, rows rounded up to a power of two,
    /// outputs and columns. `q4_k 8x4096x4096`.
    pub fn key(&self) -> String {
        let StoredMatrix { format, rows: outputs, columns, .. } = self.matrix;
        let bias = if self.bias { " with bias" } else { "" };
        let format = format.to_string().to_lowercase();
        format!("{format} {}x{outputs}x{columns}{bias}", self.rows.next_power_of_two())
    }
}

impl Choice {
    /// Its name, the same from run to run: `gemm_rows32`.
    pub fn name(self) -> String {
        let tile = |tile| match tile {
            GemmTile::Rows8 => "gemm_rows8",
            GemmTile::Rows16 => "gemm_rows16",
            GemmTile::Rows32 => "gemm_rows32",
            GemmTile::Head => "gemm_head",
            GemmTile::Rows64 => "gemm_rows64",
        };
        match self {
            Choice::Gemv => "gemv".into(),
            Choice::Packed(Sharing::Few(_)) => "gemm_packed".into(),
            Choice::Packed(Sharing::All { by: Multiplier::Simdgroup, parts }) => {
                format!("gemm_staged_parts{parts}")
            }
            Choice::Packed(Sharing::All { by: Multiplier::Warpgroup, parts }) => {
                format!("gemm_warpgroup_parts{parts}")
            }
            Choice::Tiles(size) => tile(size).into(),
            Choice::Parts(size, parts) => format!("{}_parts{parts}", tile(size)),
            Choice::Plain(PlainStage::Naive) => "gemm_naive".into(),
            Choice::Plain(PlainStage::Tiled) => "gemm_tiled".into(),
            Choice::Tensor => "gemm_tensor".into(),
            Choice::System => "system".into(),
        }
    }

    /// The entry points that it runs on a matrix, as far as they are ours to examine.
    pub fn entries(self, shape: &Shape) -> ArrayVec<&'static str, 3> {
        use crate::formats::names;
        let format = shape.matrix.format;
        let entries = match self {
            Choice::Gemv => [Gemv::kernel(&shape.matrix, shape.rows).map(|kernel| kernel.entry), None, None],
            Choice::Packed(sharing) => {
                let packing = packing(&shape.matrix);
                let kernel = packing.and_then(|packing| PackedGemm::kernel(packing, sharing, shape.rows));
                [kernel.map(|kernel| kernel.entry), Some("half_rows"), Some("gemm_combine")]
            }
            Choice::Tiles(tile) => [tile.entry(format), None, None],
            Choice::Parts(tile, _) => [tile.entry(format), Some("gemm_combine"), None],
            Choice::Plain(PlainStage::Naive) => [names!("gemm_naive_")(format), None, None],
            Choice::Plain(PlainStage::Tiled) => [names!("gemm_tiled_")(format), None, None],
            Choice::Tensor => [TensorGemm::entry(format, shape.matrix.columns), None, None],
            Choice::System => {
                let decoded = packing(&shape.matrix).map(UnpackToHalf::entry_of);
                [decoded.or_else(|| names!("dequantize_")(format)), Some("half_rows"), Some("finish_rows")]
            }
        };
        entries.into_iter().flatten().collect()
    }
}

/// The fastest kernel for a shape, as far as is known; `None` where none is left.
pub fn choose(shape: &Shape, facts: &DeviceFacts, rules: Rules<'_>) -> Option<Choice> {
    let excluded = &rules.choices.excluded;
    let mut candidates = candidates(shape, facts, rules.answers);
    candidates.retain(|choice| choice.entries(shape).iter().all(|&entry| !excluded.contains(entry)));
    if rules.library == Library::Own {
        candidates.retain(|choice| *choice != Choice::System);
    }
    if rules.library == Library::System && candidates.contains(&Choice::System) {
        return Some(Choice::System);
    }
    let by_measurement = |choice: &Choice| match choice {
        Choice::Tensor => true,
        Choice::System => !knows_library(facts),
        _ => false,
    };
    let expected = candidates.iter().copied().find(|choice| !by_measurement(choice));
    let winner = rules.choices.winners.get(&shape.key());
    let measured = winner.and_then(|name| candidates.iter().copied().find(|choice| choice.name() == *name));
    measured.or(expected)
}

/// Whether the device's own library is known to be the fastest for many rows.
fn knows_library(facts: &DeviceFacts) -> bool {
    matches!(facts.family, Family::Nvidia(_))
}

/// Candidates of a shape at most: each tile, two ways to part columns, and the seven others.
pub const CANDIDATES: usize = GemmTile::ALL.len() + 10;

/// Every way to multiply a shape on a device, the one first that is expected to be fastest.
pub fn candidates(shape: &Shape, facts: &DeviceFacts, answers: Answers) -> ArrayVec<Choice, CANDIDATES> {
    let StoredMatrix { format, rows: outputs, columns, .. } = shape.matrix;
    let mut choices = ArrayVec::new();
    let fastest = answers == Answers::Fastest;
    // The head as f16 would take a gigabyte of scratch.
    let system = fastest && outputs < MANY_OUTPUTS && shape.rows > MOST_ROWS && facts.matrix_library;
    // A packed matrix is read once for up to so many rows.
    let few = packing(&shape.matrix).is_some() && shape.rows <= gemm_packed::MOST_ROWS;
    let system_first = system && !few && knows_library(facts);
    if system_first {
        choices.push(Choice::System);
    }
    if packing(&shape.matrix).is_some() {
        let ways = PackedGemm::ways(facts, answers, shape.rows, &shape.matrix);
        choices.extend(ways.into_iter().map(Choice::Packed));
    }
    // Its order of additions is another than that of the tiles, which take any number of rows.
    if fastest && Gemv::kernel(&shape.matrix, shape.rows).is_some() {
        choices.push(Choice::Gemv);
    }
    if Gemm::covers(format, columns) {
        let tiles = tiles(format, shape.rows, outputs);
        if let Some(parts) = parts(shape, tiles[0], facts).filter(|_| fastest) {
            let parted = [Choice::Parts(tiles[0], parts), Choice::Parts(tiles[0], 2 * parts)];
            choices.extend(parted.into_iter().take(if columns / parts >= 2 * LEAST_PART { 2 } else { 1 }));
        }
        choices.extend(tiles.into_iter().map(Choice::Tiles));
    }
    if format.is_plain() {
        choices.extend([Choice::Plain(PlainStage::Tiled), Choice::Plain(PlainStage::Naive)]);
    }
    // Nothing is known of the order in which tensor units add.
    let tensors = facts.tensor_operations && TensorGemm::entry(format, columns).is_some();
    if fastest && shape.rows > MOST_ROWS && tensors {
        choices.push(Choice::Tensor);
    }
    if system && !system_first {
        choices.push(Choice::System);
    }
    choices
}

/// Outputs from which a tile of more outputs pays, because the input is then read less often.
const MANY_OUTPUTS: usize = 32_768;

/// All tiles that a format has, the best for so many rows first: the smallest that takes them all, or the largest; then
/// larger ones, then smaller ones.
fn tiles(format: MatrixFormat, rows: usize, outputs: usize) -> ArrayVec<GemmTile, 5> {
    let (few, many) = match rows {
        0..=8 => (GemmTile::Rows8, GemmTile::Rows8),
        9..=16 => (GemmTile::Rows16, GemmTile::Rows16),
        17..=32 => (GemmTile::Rows32, GemmTile::Head),
        _ => (GemmTile::Rows64, GemmTile::Rows64),
    };
    let best = if outputs >= MANY_OUTPUTS { many } else { few };
    let mut tiles: ArrayVec<GemmTile, 5> =
        GemmTile::ALL.into_iter().filter(|tile| tile.entry(format).is_some()).collect();
    let fits = |tile: GemmTile| tile.rows() >= rows.min(64);
    // False sorts before true.
    tiles.sort_by_key(|&tile| {
        let distance = tile.rows().abs_diff(best.rows());
        (tile != best, !fits(tile), distance, (tile == GemmTile::Head) != (outputs >= MANY_OUTPUTS))
    });
    tiles
}

/// Columns of a part at least: below that, adding up the parts costs as much as it saves.
const LEAST_PART: usize = 512;

/// In how many parts the columns are cut so that every core has two threadgroups; `None` where the tiles alone do that, or
/// the columns are too few, or it is not known how many cores there are.
fn parts(shape: &Shape, tile: GemmTile, facts: &DeviceFacts) -> Option<usize> {
    let wanted = 2 * facts.cores? as usize;
    let tiles = shape.rows.div_ceil(tile.rows()) * shape.matrix.rows.div_ceil(tile.outputs());
    let most = shape.matrix.columns / LEAST_PART;
    let parts = wanted.div_ceil(tiles).min(most).min(16);
    // Less than half of the cores would wait: the second kernel takes more.
    (parts >= 2 && 2 * tiles <= wanted).then_some(parts)
}

#[cfg(test)]
mod tests;
