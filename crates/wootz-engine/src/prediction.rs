//! Predicted outputs: what an answer will probably say is tried out as drafts.
//!
//! Beside the row of an answer's newest token, a step computes rows of the tokens that are predicted to follow it. The
//! results are taken in one after the other for as long as each token that is drawn is the one that was predicted. A
//! draw depends on the tokens before it and its number only, so the answer is what it would be without a prediction.

use std::sync::Arc;

use wootz_backend::step::PAGE_TOKENS;

/// So many tokens of an answer in a row tell where it goes on in its prediction.
const RUN: usize = 3;

/// Drafts of an answer's first try.
const FIRST: usize = 4;

/// The most drafts of an answer in a step: a page, with the row that is computed in any case.
const MOST: usize = PAGE_TOKENS - 1;

/// What an answer will probably be, in whole or in parts: a file that is to be changed here and there, for instance. It
/// makes the answer quicker where it is right, and never changes it.
#[derive(Debug, Clone, Default)]
pub struct Prediction {
    tokens: Arc<[u32]>,
    /// The places where a run of [`RUN`] tokens begins, sorted by the run, then by the place.
    runs: Arc<[usize]>,
}

impl Prediction {
    /// A prediction, made ready to be searched: O(n log n) in its length. An empty one is none.
    pub fn new(tokens: Vec<u32>) -> Self {
        let mut runs: Vec<usize> = (0..(tokens.len() + 1).saturating_sub(RUN)).collect();
        runs.sort_unstable_by_key(|&place| (run_at(&tokens, place), place));
        Self { tokens: tokens.into(), runs: runs.into() }
    }

    /// Its tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Where a run is in it: the first place from `near` on, or else the last one before.
    fn find(&self, run: &[u32], near: usize) -> Option<usize> {
        let after = self.runs.partition_point(|&place| (run_at(&self.tokens, place), place) < (run, near));
        let candidates =
            [self.runs.get(after), after.checked_sub(1).and_then(|before| self.runs.get(before))];
        candidates.into_iter().flatten().copied().find(|&place| run_at(&self.tokens, place) == run)
    }
}

impl From<Vec<u32>> for Prediction {
    fn from(tokens: Vec<u32>) -> Self {
        Self::new(tokens)
    }
}

fn run_at(tokens: &[u32], place: usize) -> &[u32] {
    &tokens[place..place + RUN]
}

/// An answer on its way through its prediction.
#[derive(Debug)]
pub(crate) struct Drafting {
    prediction: Prediction,
    /// The place of the token that should come next, while the answer follows the prediction.
    next: Option<usize>,
    /// The place after the last token that came as predicted.
    confirmed: usize,
    /// How many drafts are worth trying.
    worth: usize,
    /// Drafts that were drawn, and that were not.
    counts: DraftCounts,
}

/// Tokens of predictions that were computed before they were drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DraftCounts {
    /// Drawn, so that they needed no step of their own.
    pub accepted: usize,
    /// Not drawn: computed in vain.
    pub rejected: usize,
}

impl Drafting {
    /// At the beginning of an answer.
    pub(crate) fn new(prediction: Prediction) -> Self {
        Self { prediction, next: Some(0), confirmed: 0, worth: FIRST, counts: DraftCounts::default() }
    }

    /// The tokens that should come next, at most `most`.
    pub(crate) fn drafts(&self, most: usize) -> &[u32] {
        let rest = self.next.and_then(|next| self.prediction.tokens.get(next..)).unwrap_or_default();
        &rest[..most.min(self.worth).min(rest.len())]
    }

    /// Takes in an answer's tokens, the newest of which was not known before.
    pub(crate) fn observe(&mut self, answer: &[u32]) {
        if self.prediction.is_empty() {
            return;
        }
        let predicted = self.next.and_then(|next| self.prediction.tokens.get(next));
        self.next = match self.next {
            Some(next) if predicted == answer.last() => {
                self.confirmed = next + 1;
                Some(self.confirmed)
            }
            // What comes after a change is mostly what follows the place that was changed.
            _ => answer
                .last_chunk::<RUN>()
                .and_then(|run| self.prediction.find(run, self.confirmed))
                .map(|place| place + RUN),
        };
    }

    /// Notes what became of a step's drafts. Those that are rejected cost time and give nothing, so there are as many
    /// next time as would have been right this time, and more only after all were.
    pub(crate) fn tried(&mut self, DraftCounts { accepted, rejected }: DraftCounts) {
        self.counts.accepted += accepted;
        self.counts.rejected += rejected;
        match (accepted, rejected) {
            (0, 0) => {}
            (_, 0) => self.worth = (2 * self.worth).min(MOST),
            _ => self.worth = accepted.max(1),
        }
    }

    /// What became of all drafts so far.
    pub(crate) fn counts(&self) -> DraftCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_is_found_where_it_is_nearest(
            tokens in prop::collection::vec(0u32..3, 0..40),
            run in prop::collection::vec(0u32..3, RUN),
            near in 0usize..45,
        ) {
            let places = || (0..tokens.len().saturating_sub(RUN - 1)).filter(|&at| tokens[at..at + RUN] == run);
            let expected = places().find(|&at| at >= near).or_else(|| places().next_back());
            prop_assert_eq!(Prediction::new(tokens.clone()).find(&run, near), expected);
        }
    }

    /// Takes in an answer token by token, and says how many of its tokens were the first draft before each.
    fn foreseen(prediction: Vec<u32>, answer: &[u32]) -> usize {
        let mut drafting = Drafting::new(Prediction::new(prediction));
        let mut right = 0;
        for end in 1..=answer.len() {
            right += usize::from(drafting.drafts(1).first() == answer[..end].last());
            drafting.observe(&answer[..end]);
        }
        right
    }

    #[test]
    fn an_answer_that_changes_a_few_places_goes_on_being_foreseen() {
        let text: Vec<u32> = (0..100).collect();
        assert_eq!(foreseen(text.clone(), &text), 100);
        let replaced: Vec<u32> = text.iter().map(|&token| if token == 50 { 500 } else { token }).collect();
        assert_eq!(foreseen(text.clone(), &replaced), 100 - 1 - RUN);
        let inserted = [&text[..50], &[500, 501, 502, 503], &text[50..]].concat();
        assert_eq!(foreseen(text.clone(), &inserted), 100 - RUN);
        let left_out = [&text[..50], &text[60..]].concat();
        assert_eq!(foreseen(text.clone(), &left_out), 90 - RUN);
        let moved = [&text[60..], &text[..60]].concat();
        assert_eq!(foreseen(text.clone(), &moved), 100 - 2 * RUN);
        assert_eq!(foreseen(text, &[200; 50]), 0);
        assert_eq!(foreseen(Vec::new(), &[200; 50]), 0);
    }

    #[test]
    fn there_are_more_drafts_while_they_are_right() {
        let mut drafting = Drafting::new(Prediction::new((0..100).collect()));
        let tried = |accepted, rejected| DraftCounts { accepted, rejected };
        assert_eq!(drafting.drafts(100), [0, 1, 2, 3]);
        assert_eq!(drafting.drafts(2), [0, 1]);
        drafting.tried(tried(4, 0));
        drafting.tried(tried(0, 0));
        assert_eq!(drafting.drafts(100).len(), 8);
        drafting.tried(tried(8, 0));
        assert_eq!(drafting.drafts(100).len(), MOST);
        drafting.tried(tried(3, 12));
        assert_eq!(drafting.drafts(100).len(), 3);
        drafting.tried(tried(0, 3));
        assert_eq!(drafting.drafts(100).len(), 1);
        assert_eq!(drafting.counts(), tried(15, 15));
    }
}
