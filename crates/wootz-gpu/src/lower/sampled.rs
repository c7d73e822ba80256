//! The rows that go through the head.

use wootz_backend::ops::Op;

use super::StepLowering;
use super::arena::touched;

impl StepLowering<'_> {
    /// One launch for the sum of the rows that are sampled and for its norm, if `ops` begins with them and nothing has to be
    /// picked out, since all rows are: so it is wherever every sequence of a step goes on by a token. The answer is how many
    /// ops that is.
    pub(super) fn sum_and_norm(&mut self, ops: &[Op]) -> usize {
        let &[
            Op::GatherAdd { residual, input, out: sum },
            Op::RmsNorm { input: summed, weight, norm, out },
            ref rest @ ..,
        ] = ops
        else {
            return 0;
        };
        // The launch leaves the sum in the residual stream's place.
        let spare = !rest.iter().any(|op| touched(op).read.contains(&residual));
        // Sampled rows are named once, in order.
        let all = self.places.samples == self.places.rows;
        if !all || sum != summed || !self.model.read_once[sum.0] || !spare {
            return 0;
        }
        self.op(&Op::AddNorm { residual, input, weight, norm, out }, rest.first());
        2
    }
}
