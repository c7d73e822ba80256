//! Softmax of one query over a partition, and the combination of partitions.

use std::ops::Range;

use super::blocks::{Block, PARTITION_PAGES, Reach, Scores};
use crate::cpu::simd::lanes::{LANES, Lanes};
use crate::step::PAGE_TOKENS;

const LOWEST: f32 = f32::NEG_INFINITY;
const HIGHEST: f32 = f32::INFINITY;

/// Caps of a vector's lanes: a window of 16 into it caps the lanes outside a range at -∞.
static CAPS: [f32; 3 * LANES] = {
    let mut caps = [LOWEST; 3 * LANES];
    let mut lane = 0;
    while lane < LANES {
        caps[LANES + lane] = HIGHEST;
        lane += 1;
    }
    caps
};

/// The window of [`CAPS`] that starts at `start`.
#[inline(always)]
fn caps(start: usize) -> &'static [f32; LANES] {
    match CAPS[start..].first_chunk() {
        Some(caps) => caps,
        None => unreachable!("starts are at most 32"),
    }
}

/// A query's part of a softmax: the largest score, and the sum of `e^(score - largest)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mass {
    /// The largest score.
    pub largest: f32,
    /// The sum of the weights relative to it.
    pub sum: f32,
}

/// Turns one query's scores into weights `e^(score - largest)`: 0 outside the `seen` tokens of the
/// partition, in every page of `reach`.
#[inline(always)]
pub fn weights<L: Lanes>(lanes: L, scores: &mut Scores, seen: Range<usize>, reach: Reach) -> Mass {
    let (start, end) = (seen.start, seen.end);
    let (first, last) = (start / PAGE_TOKENS, (end - 1) / PAGE_TOKENS);
    let mut largest = lanes.splat(LOWEST);
    for (page, block) in scores.iter_mut().enumerate().take(last + 1).skip(first) {
        let mut score = lanes.load(block);
        if page == first {
            score = lanes.min(score, lanes.load(caps(LANES - start % PAGE_TOKENS)));
        }
        if page == last {
            score = lanes.min(score, lanes.load(caps(2 * LANES - (end - 1) % PAGE_TOKENS - 1)));
        }
        lanes.store(block, score);
        largest = lanes.max(score, largest);
    }
    let largest = lanes.largest(largest);
    let shift = lanes.splat(largest);
    let mut sum = lanes.splat(0.0);
    for block in &mut scores[first..=last] {
        let weight = lanes.exp(lanes.sub(lanes.load(block), shift));
        lanes.store(block, weight);
        sum = lanes.add(sum, weight);
    }
    for page in
        (reach.first_page..first).chain(last + 1..reach.end.div_ceil(PAGE_TOKENS).min(PARTITION_PAGES))
    {
        scores[page] = [0.0; LANES];
    }
    Mass { largest, sum: lanes.sum(sum) }
}

/// Adds a partition's part to the total of the partitions before it.
#[inline(always)]
pub fn combine<L: Lanes>(lanes: L, total: (&mut Mass, &mut [Block<f32>]), part: (Mass, &[Block<f32>])) {
    let (mass, sums) = total;
    let largest = if mass.largest > part.0.largest { mass.largest } else { part.0.largest };
    let (keep, take) = (power(lanes, mass.largest - largest), power(lanes, part.0.largest - largest));
    *mass = Mass { largest, sum: part.0.sum.mul_add(take, mass.sum * keep) };
    let (keep, take) = (lanes.splat(keep), lanes.splat(take));
    for (sum, more) in sums.iter_mut().zip(part.1) {
        let kept = lanes.mul(lanes.load(sum), keep);
        lanes.store(sum, lanes.fma(lanes.load(more), take, kept));
    }
}

/// `e^x` as the lanes compute it.
#[inline(always)]
fn power<L: Lanes>(lanes: L, x: f32) -> f32 {
    let mut all = [0.0; LANES];
    lanes.store(&mut all, lanes.exp(lanes.splat(x)));
    all[0]
}

/// Divides a query's weighted sums by its weights' sum and writes the head.
#[inline(always)]
pub fn finish<L: Lanes>(lanes: L, mass: Mass, sums: &[Block<f32>], out: &mut [f32]) {
    let inverse = lanes.splat(1.0 / mass.sum);
    let (whole, rest) = out.as_chunks_mut::<LANES>();
    for (out, sum) in whole.iter_mut().zip(sums) {
        lanes.store(out, lanes.mul(lanes.load(sum), inverse));
    }
    if let Some(sum) = sums.get(whole.len()) {
        lanes.store_part(rest, lanes.mul(lanes.load(sum), inverse));
    }
}
