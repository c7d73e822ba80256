//! Attention against its scalar twin, and against itself in every split.

use std::ops::Range;

use half::f16;
use proptest::prelude::*;
use wootz_spec::Span;

use super::tile::{Join, Parts, Whole};
use super::{AttentionShape, Partials, Scratch, Tile};
use crate::cache::CacheShape;
use crate::cpu::kv::WriteCell;
use crate::cpu::reference::{self, Attend, CachePrecision};
use crate::cpu::simd::{Isa, Shared};
use crate::ops::Heads;
use crate::step::{PAGE_TOKENS, SequenceSlice, Step};

/// One sequence with its cache filled, and queries for its last rows.
struct Case {
    shape: AttentionShape,
    span: Span,
    cache: CacheShape,
    pool: Shared<f16>,
    twin: reference::Pool,
    step: Step,
    queries: Vec<f32>,
}

const LAYER: usize = 1;

/// A number of a fixed noise in -1 to 1.
fn noise(seed: usize, index: usize) -> f32 {
    let mixed = (seed * 0x9e37_79b9 + index).wrapping_mul(0x85eb_ca6b) ^ (index >> 3);
    (mixed.wrapping_mul(0xc2b2_ae35) >> 7 & 0xffff) as f32 / 32_768.0 - 1.0
}

impl Case {
    /// `group` query heads for each of `kv_heads`; the last `rows` of `context` tokens ask.
    fn new(
        (group, kv_heads, head_dim): (usize, usize, usize),
        span: Span,
        (context, rows): (usize, usize),
        seed: usize,
    ) -> Self {
        let window = match span {
            Span::Full => usize::MAX,
            Span::Window(tokens) => tokens,
        };
        let heads = group * kv_heads;
        let shape = AttentionShape { heads, kv_heads, head_dim, scale: 0.7, window };
        let cache = CacheShape { layers: 2, kv_heads, head_dim };
        let pages = context.div_ceil(PAGE_TOKENS);
        let elements = cache.pool_elements(pages).unwrap();
        let pool = Shared::<f16>::zeroed(elements).unwrap();
        // What is not written must not matter, whatever it is.
        pool.write(0..elements).fill(f16::NAN);
        let mut twin = reference::Pool::new(cache, CachePrecision::F16, elements);
        let page_table: Vec<u32> = (0..pages as u32).rev().collect();
        let width = kv_heads * head_dim;
        let keys: Vec<f32> = (0..context * width).map(|index| noise(seed, index) * 2.0).collect();
        let values: Vec<f32> = (0..context * width).map(|index| noise(seed + 1, index)).collect();
        let whole = step(0..context, page_table.clone());
        twin.write(&whole, LAYER, &keys, &values);
        for token in 0..context {
            for head in 0..kv_heads {
                let at = (token * kv_heads + head) * head_dim;
                let start = cache.cell_offset(page_table[token / PAGE_TOKENS] as usize, LAYER, head);
                Isa::detect().run(WriteCell {
                    key: &keys[at..at + head_dim],
                    value: &values[at..at + head_dim],
                    slot: token % PAGE_TOKENS,
                    cell: pool.write(start..start + cache.cell_elements()),
                });
            }
        }
        let queries = (0..rows * heads * head_dim).map(|index| noise(seed + 2, index)).collect();
        Self { shape, span, cache, pool, twin, step: step(context - rows..context, page_table), queries }
    }

    fn rows(&self) -> usize {
        self.step.tokens.len()
    }

    fn width(&self) -> usize {
        self.shape.heads * self.shape.head_dim
    }

    fn tile(&self, rows: Range<usize>, kv_head: usize) -> Tile<'_> {
        Tile {
            shape: self.shape,
            positions: &self.step.positions[rows.clone()],
            queries: &self.queries[rows.start * self.width()..rows.end * self.width()],
            kv_head,
            pages: &self.step.page_table,
            pool: &self.pool,
            cache: self.cache,
            layer: LAYER,
        }
    }

    fn scratch(&self) -> Scratch {
        Scratch::new(self.shape.head_dim, self.shape.group())
    }

    /// In tiles of `tile_rows` rows.
    fn in_tiles(&self, isa: Isa, tile_rows: usize) -> Vec<f32> {
        let out = Shared::<f32>::zeroed(self.queries.len()).unwrap();
        let mut scratch = self.scratch();
        for first in (0..self.rows()).step_by(tile_rows) {
            for kv_head in 0..self.shape.kv_heads {
                let tile = self.tile(first..self.rows().min(first + tile_rows), kv_head);
                let start = first * self.width() + kv_head * self.shape.group() * self.shape.head_dim;
                isa.run(Whole { tile, scratch: &mut scratch, out: &out, start });
            }
        }
        out.read(0..self.queries.len()).to_vec()
    }

    /// In tiles of `tile_rows` rows and runs of `run` partitions, then combined.
    fn in_parts(&self, isa: Isa, tile_rows: usize, run: usize) -> Vec<f32> {
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape;
        let partitions = self.shape.partitions(*self.step.positions.last().unwrap()).end;
        let partials = Partials::new(self.rows() * heads, partitions, head_dim).unwrap();
        assert!(partials.hold(self.rows() * heads, partitions));
        let mut scratch = self.scratch();
        let mut out = vec![0.0; self.queries.len()];
        for first in (0..self.rows()).step_by(tile_rows) {
            for kv_head in 0..kv_heads {
                let tile = self.tile(first..self.rows().min(first + tile_rows), kv_head);
                let own = tile.partitions();
                let first_query = first * heads + kv_head * self.shape.group();
                for start in own.clone().step_by(run) {
                    let partitions = start..own.end.min(start + run);
                    let (scratch, partials) = (&mut scratch, &partials);
                    isa.run(Parts { tile, partitions, scratch, partials, first_query });
                }
            }
        }
        for query in 0..self.rows() * heads {
            let out = &mut out[query * head_dim..(query + 1) * head_dim];
            let partitions = self.shape.partitions(self.step.positions[query / heads]);
            isa.run(Join { partials: &partials, query, partitions, scratch: &mut scratch, out });
        }
        out
    }

    fn expected(&self) -> Vec<f32> {
        let heads = Heads { count: self.shape.heads, dim: self.shape.head_dim };
        let attend = Attend { layer: LAYER, heads, scale: self.shape.scale, span: self.span };
        let mut out = vec![0.0; self.queries.len()];
        reference::attention(&self.twin, &self.step, attend, &self.queries, &mut out);
        out
    }
}

fn step(positions: Range<usize>, page_table: Vec<u32>) -> Step {
    Step {
        tokens: vec![0; positions.len()],
        sequences: vec![SequenceSlice { rows: 0..positions.len(), pages: 0..page_table.len() }],
        positions: positions.map(|position| position as u32).collect(),
        page_table,
        sample_rows: Vec::new(),
        copies: Vec::new(),
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Group sizes, head widths, windows and contexts of all kinds: the same bits in whole tiles, in small tiles, row by
    /// row, in parts, and on every instruction set; and the twin's result within 2e-5, where values are below 1.
    #[test]
    fn every_split_gives_the_same_bits(
        heads in (1_usize..9, 1_usize..3, prop_oneof![1_usize..40, Just(64), Just(80), Just(128)]),
        window in prop_oneof![2 => Just(None), 3 => (1_usize..700).prop_map(Some)],
        (context, rows) in (1_usize..700).prop_flat_map(|context| (Just(context), 1..=context.min(40))),
        (tile_rows, run) in (1_usize..13, 1_usize..4),
        seed in 0_usize..1000,
    ) {
        let span = window.map_or(Span::Full, Span::Window);
        let case = Case::new(heads, span, (context, rows), seed);
        let isa = Isa::detect();
        let found = case.in_tiles(isa, case.shape.tile_rows());
        for (value, expected) in found.iter().zip(case.expected()) {
            prop_assert!((value - expected).abs() <= 2e-5, "{value} is not {expected}");
        }
        let tile_rows = tile_rows.min(case.shape.tile_rows());
        prop_assert!(bits(&found) == bits(&case.in_tiles(isa, tile_rows)), "small tiles");
        prop_assert!(bits(&found) == bits(&case.in_tiles(isa, 1)), "rows");
        prop_assert!(bits(&found) == bits(&case.in_parts(isa, 1, 1)), "parts");
        prop_assert!(bits(&found) == bits(&case.in_parts(isa, tile_rows, run)), "runs of parts of small tiles");
        for other in Isa::available() {
            prop_assert!(bits(&found) == bits(&case.in_tiles(other, case.shape.tile_rows())), "{other}");
        }
    }
}
