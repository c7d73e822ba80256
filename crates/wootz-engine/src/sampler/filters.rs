//! Top-k, typical-p, top-p and min-p: each keeps a part of what the one before it left.

use std::cmp::Ordering;

use super::candidates::{Candidate, by_likelihood, possible, take_top};
use super::passes::{exp, mass};
use wootz_backend::sampling::SamplingSettings;

/// What the filters have left so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Every possible token of the vocabulary: nothing has been copied.
    Everything,
    /// What stands in the candidate list, most likely first.
    Listed,
}

/// How many of the likeliest tokens a filter looks at before it looks at eight times as many.
const FIRST_LOOK: usize = 64;

/// Applies every filter that is on; `list` is scratch, and holds the result when that is [`Kept::Listed`].
/// `best` is the greatest logit.
pub(super) fn filter(
    settings: &SamplingSettings,
    logits: &[f32],
    best: f32,
    list: &mut Vec<Candidate>,
) -> Kept {
    let mut kept = Kept::Everything;
    if settings.top_k > 0 && settings.top_k < logits.len() {
        take_top(logits, settings.top_k, list);
        kept = Kept::Listed;
    }
    if settings.typical_p < 1.0 {
        typical(settings.typical_p, kept, logits, best, list);
        kept = Kept::Listed;
    }
    if settings.top_p < 1.0 {
        match kept {
            Kept::Everything => nucleus(settings.top_p, logits, best, list),
            Kept::Listed => {
                let mass: f64 = list.iter().map(|c| weight(c.logit, list[0].logit)).sum();
                let keep = enough(settings.top_p, mass, list[0].logit, list);
                list.truncate(keep.unwrap_or(list.len()));
            }
        }
        kept = Kept::Listed;
    }
    if settings.min_p > 0.0 {
        let floor = settings.min_p.ln();
        match kept {
            Kept::Everything => {
                list.clear();
                list.extend(possible(logits).filter(|c| c.logit - best >= floor));
                list.sort_unstable_by(by_likelihood);
            }
            Kept::Listed => {
                let top = list[0].logit;
                list.truncate(list.partition_point(|c| c.logit - top >= floor).max(1));
            }
        }
        kept = Kept::Listed;
    }
    kept
}

/// `exp(logit - best)`: a probability up to the common factor.
pub(super) fn weight(logit: f32, best: f32) -> f64 {
    f64::from(exp(logit - best))
}

/// How many of `sorted` it takes to reach the share `p` of `mass`; `None` when all of them do not.
fn enough(p: f32, mass: f64, best: f32, sorted: &[Candidate]) -> Option<usize> {
    let wanted = f64::from(p) * mass;
    let mut sum = 0.0;
    for (index, candidate) in sorted.iter().enumerate() {
        sum += weight(candidate.logit, best);
        if sum >= wanted {
            return Some(index + 1);
        }
    }
    None
}

/// Top-p (Holtzman et al. 2019) over the whole vocabulary: the nucleus is mostly small, so ever larger
/// heads of the order are looked at until one holds enough mass.
fn nucleus(p: f32, logits: &[f32], best: f32, list: &mut Vec<Candidate>) {
    let mass = mass(logits, best, 1.0);
    let mut look = FIRST_LOOK;
    loop {
        take_top(logits, look, list);
        if let Some(keep) = enough(p, mass, best, list) {
            list.truncate(keep);
            return;
        }
        if look >= logits.len() {
            return;
        }
        look = look.saturating_mul(8);
    }
}

/// Locally typical sampling (Meister et al. 2022): the tokens whose surprise `-ln p` is nearest to the
/// entropy of the distribution, until they hold the share `p`; with the one that reaches it.
fn typical(p: f32, kept: Kept, logits: &[f32], best: f32, list: &mut Vec<Candidate>) {
    if kept == Kept::Everything {
        list.clear();
        list.extend(possible(logits));
    }
    let mass: f64 = list.iter().map(|c| weight(c.logit, best)).sum();
    let log_mass = mass.ln();
    // -ln p = log_mass - (logit - best); the entropy is its mean.
    let surprise = |c: &Candidate| log_mass - f64::from(c.logit - best);
    let entropy: f64 = list.iter().map(|c| weight(c.logit, best) / mass * surprise(c)).sum();
    let nearest = |a: &Candidate, b: &Candidate| -> Ordering {
        let distance = |c: &Candidate| (surprise(c) - entropy).abs();
        distance(a).total_cmp(&distance(b)).then(a.token.cmp(&b.token))
    };
    let mut look = FIRST_LOOK;
    loop {
        let head = look.min(list.len());
        if head < list.len() {
            list.select_nth_unstable_by(head - 1, nearest);
        }
        list[..head].sort_unstable_by(nearest);
        if let Some(keep) = enough(p, mass, best, &list[..head]) {
            list.truncate(keep);
            break;
        }
        if head == list.len() {
            break;
        }
        look = look.saturating_mul(8);
    }
    list.sort_unstable_by(by_likelihood);
}
