//! Norms of a single row within the products that read it: each threadgroup of a product norms the row for itself, and no launch
//! stands between the products before and after.

use wootz_backend::ops::{Buffer, Op, Projection};

use super::{Factor, StepLowering};
use crate::device::Slice;
use crate::kernels::gemm_packed::{
    MOST_COLUMNS, NormedGemm, PackedPair, PairInput, Sharing, UnnormedRow, packing,
};
use crate::select::{Answers, Choice};

/// Bytes of a residual's second place: of the longest row that products norm themselves.
pub const SPARE_BYTES: usize = 4 * MOST_COLUMNS;

impl StepLowering<'_> {
    /// Whether the products of `next` norm what `op` would. The sum then goes to the other of the residual's two places, since
    /// threadgroups that have not begun may still have to read the one where it lies.
    ///
    /// Each threadgroup norms for itself: with more rows that costs more than a launch. A row's bits are not those that it has
    /// beside others.
    pub(super) fn norm_within(&mut self, op: &Op, next: Option<&Op>) -> bool {
        let (residual, input, weight, norm, out) = match *op {
            Op::RmsNorm { input, weight, norm, out } => (input, None, weight, norm, out),
            Op::AddNorm { residual, input, weight, norm, out } => (residual, Some(input), weight, norm, out),
            _ => return false,
        };
        let (model, columns) = (self.model, self.width(out));
        let one = self.rows(out) == 1 && self.rows(residual) == 1;
        let fastest = model.selection.answers == Answers::Fastest;
        let reads = |op: &&Op| match op {
            Op::Project { input, .. } | Op::GateUp { input, .. } => *input == out,
            _ => false,
        };
        let Some(next) = next.filter(reads).filter(|_| one && fastest && model.read_once[out.0]) else {
            return false;
        };
        let takes = |factor: &Factor<'_>| {
            let few = matches!(factor.choice, Choice::Packed(Sharing::Few(_)));
            let kernel = packing(&factor.matrix).map(NormedGemm::kernel);
            let spread = NormedGemm::spread(&model.selection.facts, &factor.matrix);
            few && kernel.is_some_and(|kernel| model.is_sound(kernel))
                && UnnormedRow::fits(spread.simdgroups, columns)
        };
        if !model.choices.factors(&model.weights, next.projections(), 1).iter().all(takes) {
            return false;
        }
        let added = input.map(|input| self.slice(input));
        let sum = added.map(|_| self.other_place(residual));
        let weight = model.vector(weight);
        let row = UnnormedRow { columns, residual: self.slice(residual), added, sum, weight, norm };
        self.unnormed = Some((out, row));
        if let Some(sum) = sum {
            self.moved = (sum != model.slice(residual, 1)).then_some((residual, sum));
        }
        true
    }

    /// Appends products with a row that they norm themselves, if `input` is such.
    pub(super) fn project_unnormed<'b>(
        &mut self,
        input: Buffer,
        projections: impl Iterator<Item = &'b Projection> + Clone,
    ) -> bool {
        let Some((_, mut row)) = self.unnormed.take_if(|(buffer, _)| *buffer == input) else { return false };
        let factors = self.model.choices.factors(&self.model.weights, projections, 1);
        if let Some((spread, members)) = self.pair(&factors, None) {
            let input = PairInput::Unnormed(row);
            self.dispatches.push(PackedPair { spread, members, input }.dispatch());
            return true;
        }
        for factor in factors {
            let out = self.results(&factor);
            let Factor { matrix, bias, .. } = factor;
            let spread = NormedGemm::spread(&self.model.selection.facts, &matrix);
            self.dispatches.push(NormedGemm { spread, matrix, bias, row, out }.dispatch());
            // Once is enough, and launches that write to one place wait for each other.
            row.sum = None;
        }
        true
    }

    /// Of a residual's two places the one where it does not lie.
    fn other_place(&self, residual: Buffer) -> Slice {
        match self.moved {
            Some((moved, _)) if moved == residual => self.model.slice(residual, 1),
            _ => self.model.places.spare.part(0, 4 * self.width(residual)),
        }
    }
}
