//! The most likely tokens of a large vocabulary, without sorting it.

use std::cmp::Ordering;

use super::passes::any_above;

/// Logits that are passed over together when none is of interest.
const CHUNK: usize = 64;

/// A token that may still be drawn, and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: u32,
    pub(super) logit: f32,
}

/// Most likely first; equally likely tokens by id. Logits are never NaN here.
pub(super) fn by_likelihood(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}

/// Every token that is possible at all (its logit is not minus infinity), by id.
pub(super) fn possible(logits: &[f32]) -> impl Iterator<Item = Candidate> + Clone {
    logits
        .iter()
        .enumerate()
        .filter(|(_, logit)| **logit > f32::NEG_INFINITY)
        .map(|(token, &logit)| Candidate { token: token as u32, logit })
}

/// Fills `out` with the `count` most likely possible tokens, most likely first.
///
/// One pass: candidates below the worst of the best so far are never stored, so for a small `count` nearly
/// every token costs a part of a vector comparison.
pub(super) fn take_top(logits: &[f32], count: usize, out: &mut Vec<Candidate>) {
    out.clear();
    if count == 0 {
        return;
    }
    let limit = count.saturating_mul(2).max(128);
    // A later token equal to the floor loses to those already stored: ties go to the lowest id.
    let mut floor = f32::NEG_INFINITY;
    for (index, chunk) in logits.chunks(CHUNK).enumerate() {
        if !any_above(chunk, floor) {
            continue;
        }
        for (place, &logit) in chunk.iter().enumerate() {
            if logit > floor {
                out.push(Candidate { token: (index * CHUNK + place) as u32, logit });
                if out.len() == limit {
                    out.select_nth_unstable_by(count - 1, by_likelihood);
                    out.truncate(count);
                    floor = out[count - 1].logit;
                }
            }
        }
    }
    if out.len() > count {
        out.select_nth_unstable_by(count - 1, by_likelihood);
        out.truncate(count);
    }
    out.sort_unstable_by(by_likelihood);
}
