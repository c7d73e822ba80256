//! The draw itself: a point on the line of all shares.

use super::candidates::Candidate;
use super::passes::{exp, mass};

/// Tokens whose shares are summed together when all of a vocabulary may be drawn.
const BLOCK: usize = 1024;

/// `exp((logit - best) / temperature)`: a probability up to the common factor.
pub(super) fn tempered(logit: f32, best: f32, temperature: f32) -> f64 {
    f64::from(exp((logit - best) * scale(temperature)))
}

/// `1 / temperature`, finite for the smallest temperatures too, so that 0 times it is 0.
fn scale(temperature: f32) -> f32 {
    (1.0 / temperature).min(f32::MAX)
}

/// The listed candidate at share `uniform` of their tempered mass, walking in the list's order.
pub(super) fn from_list(list: &[Candidate], temperature: f32, uniform: f64) -> Option<u32> {
    let best = list.iter().fold(f32::NEG_INFINITY, |best, c| best.max(c.logit));
    let mass: f64 = list.iter().map(|c| tempered(c.logit, best, temperature)).sum();
    let shares = list.iter().map(|c| (c.token, tempered(c.logit, best, temperature)));
    walk(shares, uniform * mass)
}

/// As [`from_list`], for all tokens by id: the block is found first, then the token in it. `sums` is scratch.
pub(super) fn from_all(
    logits: &[f32],
    best: f32,
    temperature: f32,
    uniform: f64,
    sums: &mut Vec<f64>,
) -> Option<u32> {
    sums.clear();
    sums.extend(logits.chunks(BLOCK).map(|block| mass(block, best, scale(temperature))));
    let mut rest = uniform * sums.iter().sum::<f64>();
    let mut place = None;
    for (block, &sum) in sums.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
        place = Some((block, rest));
        rest -= sum;
        if rest < 0.0 {
            break;
        }
    }
    let (block, rest) = place?;
    let start = block * BLOCK;
    let tokens = logits[start..].iter().take(BLOCK).enumerate();
    walk(tokens.map(|(index, &logit)| ((start + index) as u32, tempered(logit, best, temperature))), rest)
}

/// The token at which the shares so far exceed `rest`; after rounding, perhaps the last.
fn walk(shares: impl Iterator<Item = (u32, f64)>, mut rest: f64) -> Option<u32> {
    let mut last = None;
    for (token, share) in shares.filter(|(_, share)| *share > 0.0) {
        last = Some(token);
        rest -= share;
        if rest < 0.0 {
            break;
        }
    }
    last
}
