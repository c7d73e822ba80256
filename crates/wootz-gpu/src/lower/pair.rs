//! Products of one input with two matrices that are packed differently: as one launch, where a kernel has both packings.

use super::{Factor, StepLowering};
use crate::kernels::gemm_packed::{PackedPair, PairMember, PairSpread, Sharing, UnnormedRow, packing};
use crate::select::{Answers, Choice};

impl StepLowering<'_> {
    /// The factors for one launch with so many rows, or one before its norm, if there is such.
    pub(super) fn pair(
        &self,
        factors: &[Factor<'_>],
        rows: Option<usize>,
    ) -> Option<(PairSpread, [PairMember; 2])> {
        let [first, second] = factors else { return None };
        let few = |factor: &Factor<'_>| matches!(factor.choice, Choice::Packed(Sharing::Few(_)));
        if !(few(first) && few(second)) {
            return None;
        }
        let selection = &self.model.selection;
        [[first, second], [second, first]].into_iter().find_map(|factors| {
            let packings = [packing(&factors[0].matrix)?, packing(&factors[1].matrix)?];
            // A row's bits follow from the spread: with reproducible answers, all numbers of rows go one way.
            let fastest = selection.answers == Answers::Fastest;
            let kinds: &[Option<usize>] = if fastest { &[rows] } else { &[Some(1), Some(usize::MAX)] };
            let sound = |&rows: &Option<usize>| {
                PackedPair::kernel(packings, rows).is_some_and(|kernel| self.model.is_sound(kernel))
            };
            if !kinds.iter().all(sound) {
                return None;
            }
            let spread_for = rows.filter(|_| fastest).unwrap_or(1);
            let spread = PairSpread::of(&selection.facts, factors.map(|factor| &factor.matrix), spread_for)?;
            if rows.is_none() && !UnnormedRow::fits(spread.simdgroups, first.matrix.columns) {
                return None;
            }
            let member = |factor: &Factor<'_>| PairMember {
                matrix: factor.matrix,
                bias: factor.bias,
                out: self.results(factor),
            };
            Some((spread, factors.map(member)))
        })
    }
}
