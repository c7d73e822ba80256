//! The two inner loops of attention, each for a block of queries that share every loaded vector.
//!
//! Each query's arithmetic is its own chain (scores over `head_dim` ascending, sums over tokens ascending),
//! so a result does not depend on which block, page group or element type it was computed in.

use crate::cpu::simd::lanes::{Element, LANES, Lanes};
use crate::step::PAGE_TOKENS;

/// Tokens whose softmax is taken at once; longer contexts are combined from such partitions in order.
pub const PARTITION_TOKENS: usize = 256;

/// Pages of a partition.
pub const PARTITION_PAGES: usize = PARTITION_TOKENS / PAGE_TOKENS;

/// Sixteen elements, aligned by their use only.
pub type Block<E> = [E; LANES];

/// One query's scores (later its weights) of a partition, a page's tokens to a vector.
pub type Scores = [Block<f32>; PARTITION_PAGES];

/// The pages of one key/value head in a partition.
#[derive(Clone, Copy)]
pub struct Pages<'a, E> {
    /// Keys of each page: `[head_dim]` vectors of 16 tokens.
    pub keys: [&'a [Block<E>]; PARTITION_PAGES],
    /// Values of each page: `[16 tokens][head_dim / 16]` vectors.
    pub values: [&'a [Block<E>]; PARTITION_PAGES],
    /// Vectors of a value row.
    pub value_vectors: usize,
}

/// Scores of `Q` queries (`[head_dim][Q]`, scaled) against the tokens of `N` pages from `page` on.
#[inline(always)]
fn score<L: Lanes, E: Element, const Q: usize, const N: usize>(
    lanes: L,
    queries: &[f32],
    pages: &Pages<'_, E>,
    page: usize,
    scores: &mut [Scores],
) {
    let queries = queries.as_chunks::<Q>().0;
    let mut keys: [&[Block<E>]; N] = [&[]; N];
    for (n, key) in keys.iter_mut().enumerate() {
        *key = &pages.keys[page + n][..queries.len()];
    }
    let mut sums = [[lanes.splat(0.0); N]; Q];
    for dim in 0..queries.len() {
        let mut loaded = [lanes.splat(0.0); N];
        for n in 0..N {
            loaded[n] = E::load(lanes, &keys[n][dim]);
        }
        for q in 0..Q {
            let query = lanes.splat(queries[dim][q]);
            for n in 0..N {
                sums[q][n] = lanes.fma(query, loaded[n], sums[q][n]);
            }
        }
    }
    let scores = &mut scores[..Q];
    for q in 0..Q {
        for n in 0..N {
            lanes.store(&mut scores[q][page + n], sums[q][n]);
        }
    }
}

/// Where a block of queries looks, within one partition.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The first page with a token that any of them sees.
    pub first_page: usize,
    /// One past the last token that any of them sees.
    pub end: usize,
}

impl Reach {
    /// One past the last page.
    fn end_page(self) -> usize {
        self.end.div_ceil(PAGE_TOKENS)
    }
}

/// Scores of `Q` queries against every page of `reach`.
#[inline(always)]
fn score_pages<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    queries: &[f32],
    pages: &Pages<'_, E>,
    reach: Reach,
    scores: &mut [Scores],
) {
    let mut page = reach.first_page;
    while L::WIDE && page + 4 <= reach.end_page() {
        score::<L, E, Q, 4>(lanes, queries, pages, page, scores);
        page += 4;
    }
    while page + 2 <= reach.end_page() {
        score::<L, E, Q, 2>(lanes, queries, pages, page, scores);
        page += 2;
    }
    if page < reach.end_page() {
        score::<L, E, Q, 1>(lanes, queries, pages, page, scores);
    }
}

/// `out[q][vector..][..N] = Σ_token weight[q][token] · value[token]` for `Q` queries.
// An index that walks several arrays: iterators over them would hide the one page number that they share.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn weigh<L: Lanes, E: Element, const Q: usize, const N: usize>(
    lanes: L,
    weights: &[Scores],
    pages: &Pages<'_, E>,
    (reach, vector): (Reach, usize),
    out: &mut [Block<f32>],
) {
    let weights = &weights[..Q];
    let mut sums = [[lanes.splat(0.0); N]; Q];
    for page in reach.first_page..reach.end_page().min(PARTITION_PAGES) {
        let values = pages.values[page];
        let tokens = (reach.end - page * PAGE_TOKENS).min(PAGE_TOKENS);
        for token in 0..tokens {
            let row: &[Block<E>; N] = match values[token * pages.value_vectors + vector..].first_chunk() {
                Some(row) => row,
                None => unreachable!("a page holds 16 whole value rows"),
            };
            let mut loaded = [lanes.splat(0.0); N];
            for n in 0..N {
                loaded[n] = E::load(lanes, &row[n]);
            }
            for q in 0..Q {
                let weight = lanes.splat(weights[q][page][token]);
                for n in 0..N {
                    sums[q][n] = lanes.fma(weight, loaded[n], sums[q][n]);
                }
            }
        }
    }
    for q in 0..Q {
        for n in 0..N {
            lanes.store(&mut out[q * pages.value_vectors + vector + n], sums[q][n]);
        }
    }
}

/// The weighted sums of `Q` queries over every vector of the head.
#[inline(always)]
fn weigh_vectors<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    weights: &[Scores],
    pages: &Pages<'_, E>,
    reach: Reach,
    out: &mut [Block<f32>],
) {
    let mut vector = 0;
    while L::WIDE && vector + 4 <= pages.value_vectors {
        weigh::<L, E, Q, 4>(lanes, weights, pages, (reach, vector), out);
        vector += 4;
    }
    while vector + 2 <= pages.value_vectors {
        weigh::<L, E, Q, 2>(lanes, weights, pages, (reach, vector), out);
        vector += 2;
    }
    if vector < pages.value_vectors {
        weigh::<L, E, Q, 1>(lanes, weights, pages, (reach, vector), out);
    }
}

/// The largest block whose accumulators stay in registers.
#[inline(always)]
pub fn block_size<L: Lanes>(queries: usize) -> usize {
    match queries {
        6.. if L::WIDE => 6,
        4.. if L::WIDE => 4,
        2.. => 2,
        _ => 1,
    }
}

/// [`score_pages`] for a block of `block_size` queries.
#[inline(always)]
pub fn score_block<L: Lanes, E: Element>(
    lanes: L,
    queries: (&[f32], usize),
    pages: &Pages<'_, E>,
    reach: Reach,
    scores: &mut [Scores],
) {
    match queries.1 {
        6 if L::WIDE => score_pages::<L, E, 6>(lanes, queries.0, pages, reach, scores),
        4 if L::WIDE => score_pages::<L, E, 4>(lanes, queries.0, pages, reach, scores),
        2 => score_pages::<L, E, 2>(lanes, queries.0, pages, reach, scores),
        _ => score_pages::<L, E, 1>(lanes, queries.0, pages, reach, scores),
    }
}

/// [`weigh_vectors`] for a block of `block_size` queries: as many as there are `weights`.
#[inline(always)]
pub fn weigh_block<L: Lanes, E: Element>(
    lanes: L,
    weights: &[Scores],
    pages: &Pages<'_, E>,
    reach: Reach,
    out: &mut [Block<f32>],
) {
    match weights.len() {
        6 if L::WIDE => weigh_vectors::<L, E, 6>(lanes, weights, pages, reach, out),
        4 if L::WIDE => weigh_vectors::<L, E, 4>(lanes, weights, pages, reach, out),
        2 => weigh_vectors::<L, E, 2>(lanes, weights, pages, reach, out),
        _ => weigh_vectors::<L, E, 1>(lanes, weights, pages, reach, out),
    }
}
