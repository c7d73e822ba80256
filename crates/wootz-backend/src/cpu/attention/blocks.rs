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

/// Pages whose keys (or values) are asked for ahead of their use: 8 KiB of a head of 64, some three times what a core
/// reads within the memory's latency. Cells lie far apart, and the processor's own reading ahead begins anew in each.
pub const AHEAD: usize = 4;

/// The pages of one key/value head in a partition.
#[derive(Clone, Copy)]
pub struct Pages<'a, E> {
    /// Keys of each page: `[head_dim]` vectors of 16 tokens.
    pub keys: [&'a [Block<E>]; PARTITION_PAGES],
    /// Values of each page: `[16 tokens][head_dim / 16]` vectors.
    pub values: [&'a [Block<E>]; PARTITION_PAGES],
    /// Keys of the pages that come after the partition, as far as there are any.
    pub after: [&'a [Block<E>]; AHEAD],
    /// Vectors of a value row.
    pub value_vectors: usize,
}

impl<'a, E> Pages<'a, E> {
    /// No pages yet, of heads of `value_vectors` vectors.
    pub fn new(value_vectors: usize) -> Self {
        Self { keys: [&[]; _], values: [&[]; _], after: [&[]; _], value_vectors }
    }

    /// What is read [`AHEAD`] pages after the keys of `page`: keys, then the values of the same pages.
    fn after_keys(&self, page: usize, reach: Reach) -> &'a [Block<E>] {
        match (page + AHEAD).checked_sub(reach.end_page()) {
            None => self.keys[page + AHEAD],
            Some(over) => self.values[(reach.first_page + over).min(reach.end_page() - 1)],
        }
    }

    /// What is read [`AHEAD`] pages after the values of `page`: values, then the keys of the next partition.
    fn after_values(&self, page: usize, reach: Reach) -> &'a [Block<E>] {
        match (page + AHEAD).checked_sub(reach.end_page()) {
            None => self.values[page + AHEAD],
            Some(over) => self.after[over],
        }
    }
}

/// Scores of `Q` queries (`[head_dim][Q]`, scaled) against the tokens of `N` pages from `page` on.
#[inline(always)]
fn score<L: Lanes, E: Element, const Q: usize, const N: usize>(
    lanes: L,
    queries: &[f32],
    pages: &Pages<'_, E>,
    (reach, page): (Reach, usize),
    scores: &mut [Scores],
) {
    let queries = queries.as_chunks::<Q>().0;
    let mut keys: [&[Block<E>]; N] = [&[]; N];
    for (n, key) in keys.iter_mut().enumerate() {
        *key = &pages.keys[page + n][..queries.len()];
    }
    let mut ahead: [&[Block<E>]; N] = [&[]; N];
    if E::IN_POOL {
        for (n, ahead) in ahead.iter_mut().enumerate() {
            *ahead = &pages.after_keys(page + n, reach)[..queries.len()];
        }
    }
    let mut sums = [[lanes.splat(0.0); N]; Q];
    for dim in 0..queries.len() {
        if E::IN_POOL {
            for ahead in &ahead {
                lanes.prefetch(&ahead[dim]);
            }
        }
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
        score::<L, E, Q, 4>(lanes, queries, pages, (reach, page), scores);
        page += 4;
    }
    while page + 2 <= reach.end_page() {
        score::<L, E, Q, 2>(lanes, queries, pages, (reach, page), scores);
        page += 2;
    }
    if page < reach.end_page() {
        score::<L, E, Q, 1>(lanes, queries, pages, (reach, page), scores);
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
        let ahead = pages.after_values(page, reach);
        for token in 0..tokens {
            if E::IN_POOL {
                for n in (0..N).step_by(2) {
                    if let Some(ahead) = ahead.get(token * pages.value_vectors + vector + n) {
                        lanes.prefetch(ahead);
                    }
                }
            }
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

/// The most queries of a block: their sums over the pages, or vectors, of a pass stay in registers (28 of 32 on a wide
/// machine, the other four hold what was loaded).
const fn largest_block<L: Lanes>() -> usize {
    if L::WIDE { 7 } else { 2 }
}

/// Up to so many queries read the cache as it is; more share pages that were widened to f32 once.
pub const fn direct_queries<L: Lanes>() -> usize {
    if L::WIDE { 32 } else { 12 }
}

/// The queries of the next block where so many are left: as few blocks as there can be, of one size or nearly, since
/// each widens every key and value again.
#[inline(always)]
pub fn block_size<L: Lanes>(queries: usize) -> usize {
    queries.div_ceil(queries.div_ceil(largest_block::<L>()))
}

/// Calls `$run::<L, E, Q>` for a block of `$size` queries.
macro_rules! by_size {
    ($size:expr, $run:ident $arguments:tt) => {
        match $size {
            7 if L::WIDE => $run::<L, E, 7> $arguments,
            6 if L::WIDE => $run::<L, E, 6> $arguments,
            5 if L::WIDE => $run::<L, E, 5> $arguments,
            4 if L::WIDE => $run::<L, E, 4> $arguments,
            3 if L::WIDE => $run::<L, E, 3> $arguments,
            2 => $run::<L, E, 2> $arguments,
            _ => $run::<L, E, 1> $arguments,
        }
    };
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
    by_size!(queries.1, score_pages(lanes, queries.0, pages, reach, scores));
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
    by_size!(weights.len(), weigh_vectors(lanes, weights, pages, reach, out));
}
