//! The key/value cache and softmax attention over it.

use std::ops::Range;

use half::f16;
use wootz_spec::Span;

use crate::cache::CacheShape;
use crate::ops::Heads;
use crate::step::{PAGE_TOKENS, PageCopy, SequenceSlice, Step};

/// How exactly the reference keeps keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePrecision {
    /// As they are: what models are compared in.
    F32,
    /// Rounded to f16, as every device keeps them.
    F16,
}

/// A pool of pages in the one page format, with f32 elements.
#[derive(Debug, Clone)]
pub struct Pool {
    shape: CacheShape,
    precision: CachePrecision,
    elements: Vec<f32>,
}

impl Pool {
    /// A pool of `elements` zeros: see [`CacheShape::pool_elements`].
    pub fn new(shape: CacheShape, precision: CachePrecision, elements: usize) -> Pool {
        Pool { shape, precision, elements: vec![0.0; elements] }
    }

    /// Copies one page onto another.
    pub fn copy_page(&mut self, copy: PageCopy) {
        let elements = self.shape.page_elements();
        let from = copy.from as usize * elements;
        self.elements.copy_within(from..from + elements, copy.to as usize * elements);
    }

    /// Elements of it: [`CacheShape::page_range`] says which are a page's.
    pub fn elements(&mut self, range: Range<usize>) -> &mut [f32] {
        &mut self.elements[range]
    }

    /// Writes each row's key and value heads `[rows, kv_heads, head_dim]` where its sequence's page table says.
    pub fn write(&mut self, step: &Step, layer: usize, keys: &[f32], values: &[f32]) {
        let CacheShape { kv_heads, head_dim, .. } = self.shape;
        let round = |x: f32| match self.precision {
            CachePrecision::F32 => x,
            CachePrecision::F16 => f16::from_f32(x).to_f32(),
        };
        for sequence in &step.sequences {
            for row in sequence.rows.clone() {
                let place = Place::of(step, sequence, step.positions[row] as usize);
                for head in 0..kv_heads {
                    let cell = self.shape.cell_offset(place.page, layer, head);
                    let start = (row * kv_heads + head) * head_dim;
                    for dim in 0..head_dim {
                        let (key, value) = (round(keys[start + dim]), round(values[start + dim]));
                        self.elements[cell + self.shape.key_element(place.slot, dim)] = key;
                        self.elements[cell + self.shape.value_element(place.slot, dim)] = value;
                    }
                }
            }
        }
    }

    /// `query · key` of one token.
    fn score(&self, place: &Place, layer: usize, head: usize, query: &[f32]) -> f64 {
        let cell = self.shape.cell_offset(place.page, layer, head);
        let key = |dim| self.elements[cell + self.shape.key_element(place.slot, dim)];
        query.iter().enumerate().map(|(dim, &q)| f64::from(q) * f64::from(key(dim))).sum()
    }

    fn value(&self, place: &Place, layer: usize, head: usize, dim: usize) -> f32 {
        self.elements
            [self.shape.cell_offset(place.page, layer, head) + self.shape.value_element(place.slot, dim)]
    }
}

/// Where the pool keeps one token of one sequence.
struct Place {
    page: usize,
    slot: usize,
}

impl Place {
    fn of(step: &Step, sequence: &SequenceSlice, position: usize) -> Place {
        let pages = &step.page_table[sequence.pages.clone()];
        Place { page: pages[position / PAGE_TOKENS] as usize, slot: position % PAGE_TOKENS }
    }
}

/// What attention is asked to do, apart from its buffers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attend {
    /// The cache layer.
    pub layer: usize,
    /// The query heads; neighbours share a key/value head where there are fewer of those.
    pub heads: Heads,
    /// Factor on `q · k`.
    pub scale: f32,
    /// How far back a row looks.
    pub span: Span,
}

/// Softmax attention of every row over the positions up to its own; `query` and `out` are
/// `[rows, heads, head_dim]`.
///
/// Two passes, sums in f64: nothing of a device's online softmax is repeated here.
pub fn attention(pool: &Pool, step: &Step, attend: Attend, query: &[f32], out: &mut [f32]) {
    let Attend { layer, heads, span, .. } = attend;
    let group = heads.count / pool.shape.kv_heads;
    for sequence in &step.sequences {
        for row in sequence.rows.clone() {
            let last = step.positions[row] as usize;
            let first = match span {
                Span::Full => 0,
                Span::Window(tokens) => (last + 1).saturating_sub(tokens),
            };
            let places: Vec<Place> =
                (first..=last).map(|position| Place::of(step, sequence, position)).collect();
            for head in 0..heads.count {
                let start = (row * heads.count + head) * heads.dim;
                let (query, out) = (&query[start..][..heads.dim], &mut out[start..][..heads.dim]);
                let score =
                    |place: &Place| pool.score(place, layer, head / group, query) * f64::from(attend.scale);
                let weights = softmax(places.iter().map(score).collect());
                for (dim, result) in out.iter_mut().enumerate() {
                    let value = |place| f64::from(pool.value(place, layer, head / group, dim));
                    let weighted = places.iter().zip(&weights).map(|(place, weight)| weight * value(place));
                    *result = weighted.sum::<f64>() as f32;
                }
            }
        }
    }
}

/// Powers of e that sum to one.
fn softmax(scores: Vec<f64>) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
