//! Heads between their projections and attention: normed, rotated, and keys and values written to their pages.

use wootz_backend::ops::{Op, Weight};
use wootz_spec::Rope as RopeSpec;

use super::{Rotation, StepLowering};
use crate::kernels::rope::{HeadNorms, RopeWrite, Turn};

impl StepLowering<'_> {
    /// One launch for the ops between the projections of q, k and v and their attention, if `ops` begins with them: the norms
    /// of heads where a model has them, the rotation, and writing k and v. The answer is how many ops that is.
    pub(super) fn heads_to_cache(&mut self, ops: &[Op]) -> usize {
        let (norms, rest) = match ops {
            [
                Op::HeadNorm { buffer: first, weight: query_weight, norm, .. },
                Op::HeadNorm { buffer: second, weight: key_weight, norm: other, .. },
                rest @ ..,
            ] if norm == other => {
                let [query_weight, key_weight] =
                    [*query_weight, *key_weight].map(|weight| self.model.vector(weight));
                let norms = HeadNorms { norm: *norm, query_weight, key_weight };
                (Some((norms, [*first, *second])), rest)
            }
            ops => (None, ops),
        };
        let [
            Op::Rope { query, query_heads, key, rope, factors, .. },
            Op::KvWrite { layer, key: written, value },
            ..,
        ] = rest
        else {
            return 0;
        };
        if written != key || norms.is_some_and(|(_, normed)| normed != [*query, *key]) {
            return 0;
        }
        let step = self.places.step;
        let launch = RopeWrite {
            rows: self.places.rows,
            query: self.slice(*query),
            query_heads: *query_heads,
            key: self.slice(*key),
            value: self.slice(*value),
            norms: norms.map(|(norms, _)| norms),
            turn: self.turn(rope, *factors),
            positions: step.positions,
            slots: step.slots,
            cache: self.model.places.cache,
            layer: *layer,
        };
        self.dispatches.push(launch.dispatch());
        ops.len() - rest.len() + 2
    }

    fn turn(&self, rope: &RopeSpec, factors: Option<Weight>) -> Turn {
        let same = |known: &&Rotation| known.rope == *rope && known.factors == factors;
        let rotation = self.model.weights.rotations.iter().find(same).expect("every rotation was loaded");
        let &Rotation { frequencies, magnitude, .. } = rotation;
        Turn { pairing: rope.pairing, pairs: rope.dims / 2, frequencies, magnitude }
    }
}
