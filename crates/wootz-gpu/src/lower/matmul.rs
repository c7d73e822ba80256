//! Matrix products: what kernels are chosen by, and the launches of a choice.

use crate::choices::Choices;
use crate::device::{DeviceFacts, Dispatch, Slice};
use crate::kernels::gemm::{Columns, Gemm, PlainGemm, SystemGemm, TensorGemm};
use crate::kernels::gemv::Gemv;
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};
use crate::select::{self, Answers, Choice, Library, Rules, Shape};

/// What kernels are chosen by.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The device.
    pub facts: DeviceFacts,
    /// What results may depend on.
    pub answers: Answers,
    /// Whose kernels.
    pub library: Library,
    /// What was found out about the device.
    pub choices: Choices,
}

impl Selection {
    /// The fastest kernel for a shape, as far as is known; `None` where no kernel multiplies so.
    pub fn choose(&self, shape: &Shape) -> Option<Choice> {
        let rules = Rules { answers: self.answers, library: self.library, choices: &self.choices };
        select::choose(shape, &self.facts, rules)
    }
}

/// `out[m] = matrix · input[m] (+ bias)`.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Rows of the input, at least 1.
    pub rows: usize,
    /// The weights.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// `[rows, matrix.columns]` f32.
    pub input: Slice,
    /// Of at least [`choice_scratch_bytes`].
    pub scratch: Slice,
    /// `[rows, matrix.rows]` f32.
    pub out: Slice,
}

impl Product {
    /// The launches, in an order in which each may need what those before it wrote.
    pub fn append(&self, choice: Choice, dispatches: &mut Vec<Dispatch>) {
        let &Product { rows, matrix, bias, input, scratch, out } = self;
        let gemm = |tile, sum| Gemm { tile, sum, rows, matrix, bias, input, out }.dispatches();
        match choice {
            Choice::Gemv => dispatches.push(Gemv { rows, input, matrix, bias, out }.dispatch()),
            Choice::Tiles(tile) => dispatches.extend(gemm(tile, Columns::Whole)),
            Choice::Parts(tile, parts) => dispatches.extend(gemm(tile, Columns::Parts { parts, scratch })),
            Choice::Plain(stage) => {
                dispatches.push(PlainGemm { stage, rows, matrix, bias, input, out }.dispatch());
            }
            Choice::Tensor => dispatches.push(TensorGemm { rows, matrix, bias, input, out }.dispatch()),
            Choice::System => {
                dispatches.extend(SystemGemm { rows, matrix, input, scratch, out }.dispatches());
            }
        }
    }
}

/// Whether any kernel multiplies matrices of this format and width with any number of rows.
pub fn covers(format: MatrixFormat, columns: usize) -> bool {
    Gemm::covers(format, columns) || format.is_plain()
}

/// Bytes of scratch that one choice needs for a product.
pub fn choice_scratch_bytes(choice: Choice, rows: usize, matrix: &StoredMatrix) -> usize {
    match choice {
        // Rounding may add a part's worth of rows.
        Choice::Parts(_, parts) => Gemm::scratch_bytes(parts, rows, matrix.rows),
        Choice::System => SystemGemm::scratch_bytes(rows, matrix.rows, matrix.columns),
        Choice::Gemv | Choice::Tiles(_) | Choice::Plain(_) | Choice::Tensor => 0,
    }
}
