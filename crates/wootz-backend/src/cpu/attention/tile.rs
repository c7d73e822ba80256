//! One tile of queries over one key/value head's pages.

use std::ops::Range;

use half::f16;

use super::blocks::{
    Block, PARTITION_PAGES, PARTITION_TOKENS, Pages, Reach, block_size, direct_queries, score_block,
    weigh_block,
};
use super::scratch::{Partials, Scratch};
use super::softmax::{Mass, combine, finish, weights};
use crate::cache::CacheShape;
use crate::cpu::simd::arena::Shared;
use crate::cpu::simd::lanes::{Kernel, LANES, Lanes};
use crate::step::PAGE_TOKENS;

/// Queries of a tile at most: their scores stay in the second-level cache.
pub(super) const TILE_QUERIES: usize = 96;

/// What the layers' attention has in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads of a row.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Factor on `q · k`.
    pub scale: f32,
    /// How many tokens a row sees, itself included.
    pub window: usize,
}

impl AttentionShape {
    /// Query heads that share a key/value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Rows of a sequence that make one tile.
    pub fn tile_rows(&self) -> usize {
        (TILE_QUERIES / self.group()).max(1)
    }

    /// Vectors of a head.
    fn vectors(&self) -> usize {
        self.head_dim.div_ceil(LANES)
    }

    /// The tokens that the row at `position` sees.
    pub fn seen(&self, position: u32) -> Range<usize> {
        let end = position as usize + 1;
        end.saturating_sub(self.window)..end
    }

    /// Those of a partition, counted from the partition's start.
    fn seen_within(&self, position: u32, partition: usize) -> Range<usize> {
        let (seen, start) = (self.seen(position), partition * PARTITION_TOKENS);
        let within = |token: usize| token.saturating_sub(start).min(PARTITION_TOKENS);
        within(seen.start)..within(seen.end)
    }

    /// The partitions that hold them.
    pub fn partitions(&self, position: u32) -> Range<usize> {
        let seen = self.seen(position);
        seen.start / PARTITION_TOKENS..seen.end.div_ceil(PARTITION_TOKENS)
    }
}

/// The queries of neighbouring rows of one sequence for one key/value head.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    /// The layer's attention.
    pub shape: AttentionShape,
    /// The positions of the rows, ascending by one.
    pub positions: &'a [u32],
    /// `[rows][heads · head_dim]`, rotated.
    pub queries: &'a [f32],
    /// The key/value head.
    pub kv_head: usize,
    /// The sequence's page ids.
    pub pages: &'a [u32],
    /// The pool.
    pub pool: &'a Shared<f16>,
    /// How the pool lies.
    pub cache: CacheShape,
    /// The layer's place in the pool.
    pub layer: usize,
}

impl Tile<'_> {
    fn queries(&self) -> usize {
        self.positions.len() * self.shape.group()
    }

    fn position(&self, query: usize) -> u32 {
        self.positions[query / self.shape.group()]
    }

    /// The partitions that any row sees.
    pub fn partitions(&self) -> Range<usize> {
        let (first, last) = (self.positions[0], self.positions[self.positions.len() - 1]);
        self.shape.partitions(first).start..self.shape.partitions(last).end
    }

    /// Gathers the queries, scaled, in blocks of the size that the kernels take.
    #[inline(always)]
    fn gather<L: Lanes>(&self, scratch: &mut Scratch) {
        let Tile { shape, .. } = *self;
        let (dim, group) = (shape.head_dim, shape.group());
        let mut query = 0;
        while query < self.queries() {
            let size = block_size::<L>(self.queries() - query);
            let block = &mut scratch.queries[query * dim..(query + size) * dim];
            for place in 0..size {
                let (row, head) = ((query + place) / group, (query + place) % group);
                let start = (row * shape.heads + shape.kv_head_start(self.kv_head) + head) * dim;
                let source = &self.queries[start..start + dim];
                for (element, value) in source.iter().enumerate() {
                    block[element * size + place] = value * shape.scale;
                }
            }
            query += size;
        }
    }

    /// A cell of the pool: keys and values of one page.
    fn cell(&self, page: usize) -> (&[f16], &[f16]) {
        let start = self.cache.cell_offset(self.pages[page] as usize, self.layer, self.kv_head);
        self.pool.read(start..start + self.cache.cell_elements()).split_at(self.cache.value_offset())
    }

    /// Where queries `from..to` look in a partition; `None` where none of them sees a token of it.
    fn reach(&self, queries: Range<usize>, partition: usize) -> Option<Reach> {
        let start = self.shape.seen_within(self.position(queries.start), partition).start;
        let end = self.shape.seen_within(self.position(queries.end - 1), partition).end;
        (start < end).then_some(Reach { first_page: start / PAGE_TOKENS, end })
    }

    /// Scores, weights and weighted sums of every query over one partition.
    #[inline(always)]
    fn partition<L: Lanes>(&self, lanes: L, partition: usize, scratch: &mut Scratch) {
        let Some(reach) = self.reach(0..self.queries(), partition) else { return };
        let pages = reach.first_page..reach.end.div_ceil(PAGE_TOKENS);
        let first = partition * PARTITION_PAGES;
        if self.queries() <= direct_queries::<L>() && self.shape.head_dim.is_multiple_of(LANES) {
            let mut view = Pages::new(self.shape.vectors());
            for page in pages {
                let (keys, values) = self.cell(first + page);
                view.keys[page] = keys.as_chunks().0;
                view.values[page] = values.as_chunks().0;
            }
            let end = self.positions[self.positions.len() - 1] as usize / PAGE_TOKENS + 1;
            for (page, after) in (first + PARTITION_PAGES..end).zip(&mut view.after) {
                *after = self.cell(page).0.as_chunks().0;
            }
            blocks(lanes, self, partition, &view, scratch);
        } else {
            let (mut keys, mut values) =
                (std::mem::take(&mut scratch.keys), std::mem::take(&mut scratch.values));
            let (dim, width) = (self.shape.head_dim, self.shape.vectors() * PAGE_TOKENS);
            for page in pages.clone() {
                let cell = self.cell(first + page);
                let to = (&mut keys[page * dim..][..dim], &mut values[page * width..][..width]);
                widen(lanes, cell, dim, to);
            }
            let mut view = Pages::new(self.shape.vectors());
            for page in pages {
                view.keys[page] = &keys[page * dim..][..dim];
                view.values[page] = &values[page * width..][..width];
            }
            blocks(lanes, self, partition, &view, scratch);
            (scratch.keys, scratch.values) = (keys, values);
        }
    }
}

impl AttentionShape {
    /// The first query head of a key/value head.
    fn kv_head_start(&self, kv_head: usize) -> usize {
        kv_head * self.group()
    }
}

/// A cell as f32: keys as they lie, value rows filled up to whole vectors.
#[inline(always)]
fn widen<L: Lanes>(lanes: L, cell: (&[f16], &[f16]), dim: usize, to: (&mut [Block<f32>], &mut [Block<f32>])) {
    for (to, from) in to.0.iter_mut().zip(cell.0.as_chunks().0) {
        lanes.store(to, lanes.load_f16(from));
    }
    let vectors = dim.div_ceil(LANES);
    for (to, from) in to.1.chunks_exact_mut(vectors).zip(cell.1.chunks_exact(dim)) {
        let (whole, rest) = from.as_chunks();
        for (to, from) in to.iter_mut().zip(whole) {
            lanes.store(to, lanes.load_f16(from));
        }
        if !rest.is_empty() {
            let mut padded = [f16::ZERO; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            lanes.store(&mut to[whole.len()], lanes.load_f16(&padded));
        }
    }
}

/// Every block of a tile over one partition's pages.
#[inline(always)]
fn blocks<L: Lanes, E: crate::cpu::simd::lanes::Element>(
    lanes: L,
    tile: &Tile<'_>,
    partition: usize,
    pages: &Pages<'_, E>,
    scratch: &mut Scratch,
) {
    let (dim, vectors) = (tile.shape.head_dim, tile.shape.vectors());
    let mut query = 0;
    while query < tile.queries() {
        let size = block_size::<L>(tile.queries() - query);
        let block = query..query + size;
        query += size;
        let Some(reach) = tile.reach(block.clone(), partition) else { continue };
        let scores = &mut scratch.scores[block.clone()];
        let queries = &scratch.queries[block.start * dim..block.end * dim];
        score_block(lanes, (queries, size), pages, reach, scores);
        for (place, scores) in scores.iter_mut().enumerate() {
            let seen = tile.shape.seen_within(tile.position(block.start + place), partition);
            scratch.part_mass[block.start + place] = if !seen.is_empty() {
                weights(lanes, scores, seen, reach)
            } else {
                *scores = [[0.0; LANES]; PARTITION_PAGES];
                Mass::default()
            };
        }
        weigh_block(
            lanes,
            scores,
            pages,
            reach,
            &mut scratch.part[block.start * vectors..block.end * vectors],
        );
    }
}

/// All of a tile's attention.
pub struct Whole<'a, 'b> {
    /// The tile.
    pub tile: Tile<'a>,
    /// The thread's working memory.
    pub scratch: &'b mut Scratch,
    /// Where row `r` of the tile goes: the part of `[rows][heads · head_dim]` from `r · stride` on that holds the
    /// key/value head's query heads.
    pub out: &'b Shared<f32>,
    /// The element of `out` that the tile's first row's first head of this key/value head is.
    pub start: usize,
}

impl Kernel for Whole<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Whole { tile, scratch, out, start } = self;
        let (dim, vectors, group) = (tile.shape.head_dim, tile.shape.vectors(), tile.shape.group());
        tile.gather::<L>(scratch);
        for partition in tile.partitions() {
            tile.partition(lanes, partition, scratch);
            for query in 0..tile.queries() {
                let own = tile.shape.partitions(tile.position(query));
                let at = query * vectors..(query + 1) * vectors;
                if partition == own.start {
                    scratch.total_mass[query] = scratch.part_mass[query];
                    scratch.total[at.clone()].copy_from_slice(&scratch.part[at]);
                } else if own.contains(&partition) {
                    let total = (&mut scratch.total_mass[query], &mut scratch.total[at.clone()]);
                    combine(lanes, total, (scratch.part_mass[query], &scratch.part[at]));
                }
            }
        }
        for row in 0..tile.positions.len() {
            let first = start + row * tile.shape.heads * dim;
            let heads = out.write(first..first + group * dim);
            for (head, out) in heads.chunks_exact_mut(dim).enumerate() {
                let query = row * group + head;
                let sums = &scratch.total[query * vectors..(query + 1) * vectors];
                finish(lanes, scratch.total_mass[query], sums, out);
            }
        }
    }
}

/// Some partitions of a tile, kept for [`Join`].
pub struct Parts<'a, 'b> {
    /// The tile.
    pub tile: Tile<'a>,
    /// The partitions.
    pub partitions: Range<usize>,
    /// The thread's working memory.
    pub scratch: &'b mut Scratch,
    /// Where the parts go.
    pub partials: &'b Partials,
    /// The number of the tile's first query in `partials`; its rows are `heads` apart there.
    pub first_query: usize,
}

impl Kernel for Parts<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Parts { tile, partitions, scratch, partials, first_query } = self;
        let (vectors, group) = (tile.shape.vectors(), tile.shape.group());
        tile.gather::<L>(scratch);
        for partition in partitions {
            tile.partition(lanes, partition, scratch);
            for query in 0..tile.queries() {
                if tile.shape.partitions(tile.position(query)).contains(&partition) {
                    let number = first_query + query / group * tile.shape.heads + query % group;
                    let sums = &scratch.part[query * vectors..(query + 1) * vectors];
                    partials.write(number, partition, scratch.part_mass[query], sums);
                }
            }
        }
    }
}

/// Combines the parts of one query, in order, and writes its head.
pub struct Join<'b> {
    /// The parts.
    pub partials: &'b Partials,
    /// The number of the query in `partials`.
    pub query: usize,
    /// The partitions that the query sees.
    pub partitions: Range<usize>,
    /// The thread's working memory.
    pub scratch: &'b mut Scratch,
    /// `[head_dim]`: the head.
    pub out: &'b mut [f32],
}

impl Kernel for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Join { partials, query, partitions, scratch, out } = self;
        let total = &mut scratch.total[..partials.vectors];
        let (mut mass, sums) = partials.read(query, partitions.start);
        total.copy_from_slice(sums);
        for partition in partitions.skip(1) {
            combine(lanes, (&mut mass, total), partials.read(query, partition));
        }
        finish(lanes, mass, total, out);
    }
}
