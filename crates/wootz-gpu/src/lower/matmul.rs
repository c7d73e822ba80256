//! Matrix products: what kernels are chosen by, and the launches of a choice.

use crate::choices::Choices;
use crate::device::{DeviceFacts, Dispatch, Slice};
use crate::kernels::gemm::{Columns, Gemm, HalfInput, HalfRows, PlainGemm, SystemGemm, TensorGemm};
use crate::kernels::gemm_packed::PackedGemm;
use crate::kernels::gemv::Gemv;
use crate::kernels::joint::JointRows;
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

/// `out[m] = matrix · input[m] (+ bias)`, of one matrix, or of several that lie one after another.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// The kernel.
    pub choice: Choice,
    /// The weights.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// `[rows, matrix.rows]` f32, or for several matrices `[rows, their rows]` each, of which only [`Choice::Packed`] has more
    /// than one.
    pub out: JointRows,
}

/// Products of one input. What a kernel wants the input converted to is made once for all of them.
#[derive(Debug, Clone)]
pub struct Products<'a> {
    /// Rows of the input, at least 1.
    pub rows: usize,
    /// `[rows, columns]` f32.
    pub input: Slice,
    /// Where the op before has put the input as f16: [`Products::halves`], perhaps with other powers.
    pub converted: Option<HalfInput>,
    /// They don't depend on each other, and may run beside each other.
    pub products: &'a [Product],
    /// Of at least [`Products::scratch_bytes`].
    pub scratch: Slice,
}

impl Products<'_> {
    /// The launches, in an order in which each may need what those before it wrote.
    pub fn append(&self, dispatches: &mut Vec<Dispatch>) {
        let rows = self.rows;
        let Some(columns) = self.products.first().map(|product| product.matrix.columns) else { return };
        let mut used = 0;
        let mut take = |bytes: usize| {
            let part = self.scratch.part(used, bytes);
            used += bytes.next_multiple_of(ALIGNMENT);
            part
        };
        let halves = self.products.iter().any(|product| product.choice.takes_halves()).then(|| {
            let out = HalfInput::within(take(HalfInput::bytes(rows, columns)), rows, columns);
            self.converted.unwrap_or_else(|| {
                dispatches.push(HalfRows { rows, columns, input: self.input, out }.dispatch());
                out
            })
        });
        for product in self.products {
            let scratch = take(product.choice.scratch_bytes(rows, &product.matrix));
            product.append(rows, self.input, halves, scratch, dispatches);
        }
    }

    /// Where products look for their input as f16: at the beginning of the scratch.
    pub fn halves(scratch: Slice, rows: usize, columns: usize) -> HalfInput {
        HalfInput::within(scratch.part(0, HalfInput::bytes(rows, columns)), rows, columns)
    }

    /// Bytes of scratch that products of one input take, by their kernels and matrices.
    pub fn scratch_bytes(rows: usize, products: &[(Choice, StoredMatrix)]) -> usize {
        let columns = products.first().map_or(0, |(_, matrix)| matrix.columns);
        let halves = products.iter().any(|(choice, _)| choice.takes_halves());
        let converted = if halves { HalfInput::bytes(rows, columns).next_multiple_of(ALIGNMENT) } else { 0 };
        let own = |(choice, matrix): &(Choice, StoredMatrix)| {
            choice.scratch_bytes(rows, matrix).next_multiple_of(ALIGNMENT)
        };
        converted + products.iter().map(own).sum::<usize>()
    }
}

/// Of what lies in the scratch.
const ALIGNMENT: usize = 256;

impl Product {
    fn append(
        &self,
        rows: usize,
        input: Slice,
        halves: Option<HalfInput>,
        scratch: Slice,
        dispatches: &mut Vec<Dispatch>,
    ) {
        let &Product { choice, matrix, bias, out } = self;
        let only = || out.only(matrix.rows).expect("only packed matrices lie one after another");
        let gemm = |tile, sum| Gemm { tile, sum, rows, matrix, bias, input, out: only() }.dispatches();
        let halves = || halves.expect("the input was converted to what the kernel wants");
        match choice {
            Choice::Gemv => dispatches.push(Gemv { rows, input, matrix, bias, out: only() }.dispatch()),
            Choice::Packed(sharing) => {
                let launch = PackedGemm { sharing, rows, matrix, bias, input: halves(), scratch, out };
                dispatches.extend(launch.dispatches());
            }
            Choice::Tiles(tile) => dispatches.extend(gemm(tile, Columns::Whole)),
            Choice::Parts(tile, parts) => dispatches.extend(gemm(tile, Columns::Parts { parts, scratch })),
            Choice::Plain(stage) => {
                dispatches.push(PlainGemm { stage, rows, matrix, bias, input, out: only() }.dispatch());
            }
            Choice::Tensor => {
                dispatches.push(TensorGemm { rows, matrix, bias, input, out: only() }.dispatch());
            }
            Choice::System => {
                let launch = SystemGemm { rows, matrix, bias, input: halves(), scratch, out: only() };
                dispatches.extend(launch.dispatches());
            }
        }
    }
}

/// Whether any kernel multiplies matrices of this format and width with any number of rows.
pub fn covers(format: MatrixFormat, columns: usize) -> bool {
    Gemm::covers(format, columns) || format.is_plain()
}

impl Choice {
    /// Whether it multiplies the input as f16, which is made once for all products of it.
    pub fn takes_halves(self) -> bool {
        matches!(self, Choice::Packed(_) | Choice::System)
    }

    /// Bytes of scratch that it needs for a product, beside the converted input.
    fn scratch_bytes(self, rows: usize, matrix: &StoredMatrix) -> usize {
        match self {
            // Rounding may add a part's worth of rows.
            Choice::Parts(_, parts) => Gemm::scratch_bytes(parts, rows, matrix.rows),
            Choice::Packed(sharing) => PackedGemm::scratch_bytes(sharing, rows, matrix.rows),
            Choice::System => SystemGemm::scratch_bytes(matrix.rows, matrix.columns),
            Choice::Gemv | Choice::Tiles(_) | Choice::Plain(_) | Choice::Tensor => 0,
        }
    }
}
