//! Matrix products: what kernels are chosen by, and the launches of a choice.

use crate::choices::Choices;
use crate::device::{DeviceFacts, Dispatch, Slice};
use arrayvec::ArrayVec;

use crate::kernels::gemm::{Columns, Gemm, HalfInput, HalfRows, Order, PlainGemm, SystemGemm, TensorGemm};
use crate::kernels::gemm_skinny::SkinnyGemm;
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
    /// The kernel.
    pub choice: Choice,
    /// The weights.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// `[rows, matrix.rows]` f32.
    pub out: Slice,
}

/// Products of one input. What a kernel wants the input converted to is made once for all of them.
#[derive(Debug, Clone)]
pub struct Products<'a> {
    /// Rows of the input, at least 1.
    pub rows: usize,
    /// `[rows, columns]` f32.
    pub input: Slice,
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
        let mut converted: ArrayVec<(Order, HalfInput), 2> = ArrayVec::new();
        for order in orders(self.products.iter().map(|product| product.choice)) {
            let out = HalfInput::within(take(HalfInput::bytes(rows, columns)), rows, columns);
            dispatches.push(HalfRows { order, rows, columns, input: self.input, out }.dispatch());
            converted.push((order, out));
        }
        for product in self.products {
            let scratch = take(product.choice.scratch_bytes(rows, &product.matrix));
            let halves = converted.iter().find(|(order, _)| Some(*order) == product.choice.order());
            product.append(rows, self.input, halves.map(|(_, halves)| *halves), scratch, dispatches);
        }
    }

    /// Bytes of scratch that products of one input take, by their kernels and matrices.
    pub fn scratch_bytes(rows: usize, products: &[(Choice, StoredMatrix)]) -> usize {
        let columns = products.first().map_or(0, |(_, matrix)| matrix.columns);
        let converted = orders(products.iter().map(|(choice, _)| *choice)).len();
        let own = |(choice, matrix): &(Choice, StoredMatrix)| {
            choice.scratch_bytes(rows, matrix).next_multiple_of(ALIGNMENT)
        };
        converted * HalfInput::bytes(rows, columns).next_multiple_of(ALIGNMENT)
            + products.iter().map(own).sum::<usize>()
    }
}

/// Of what lies in the scratch.
const ALIGNMENT: usize = 256;

/// The conversions that kernels want.
fn orders(choices: impl Iterator<Item = Choice>) -> ArrayVec<Order, 2> {
    let wanted: Vec<Order> = choices.filter_map(Choice::order).collect();
    [Order::Natural, Order::Interleaved].into_iter().filter(|order| wanted.contains(order)).collect()
}

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
        let gemm = |tile, sum| Gemm { tile, sum, rows, matrix, bias, input, out }.dispatches();
        let halves = || halves.expect("the input was converted to what the kernel wants");
        match choice {
            Choice::Gemv => dispatches.push(Gemv { rows, input, matrix, bias, out }.dispatch()),
            Choice::Skinny(parts) => {
                let launch = SkinnyGemm { parts, rows, matrix, bias, input: halves(), scratch, out };
                dispatches.extend(launch.dispatches());
            }
            Choice::Tiles(tile) => dispatches.extend(gemm(tile, Columns::Whole)),
            Choice::Parts(tile, parts) => dispatches.extend(gemm(tile, Columns::Parts { parts, scratch })),
            Choice::Plain(stage) => {
                dispatches.push(PlainGemm { stage, rows, matrix, bias, input, out }.dispatch());
            }
            Choice::Tensor => dispatches.push(TensorGemm { rows, matrix, bias, input, out }.dispatch()),
            Choice::System => {
                let launch = SystemGemm { rows, matrix, bias, input: halves(), scratch, out };
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
    /// What it wants the input converted to.
    fn order(self) -> Option<Order> {
        match self {
            Choice::Skinny(_) => Some(Order::Interleaved),
            Choice::System => Some(Order::Natural),
            Choice::Gemv | Choice::Tiles(_) | Choice::Parts(..) | Choice::Plain(_) | Choice::Tensor => None,
        }
    }

    /// Bytes of scratch that it needs for a product, beside the converted input.
    fn scratch_bytes(self, rows: usize, matrix: &StoredMatrix) -> usize {
        match self {
            // Rounding may add a part's worth of rows.
            Choice::Parts(_, parts) => Gemm::scratch_bytes(parts, rows, matrix.rows),
            Choice::Skinny(parts) => SkinnyGemm::scratch_bytes(parts, rows, matrix.rows),
            Choice::System => SystemGemm::scratch_bytes(matrix.rows, matrix.columns),
            Choice::Gemv | Choice::Tiles(_) | Choice::Plain(_) | Choice::Tensor => 0,
        }
    }
}
