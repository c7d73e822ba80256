//! Softmax attention over pages with everything that the kernels can do, in f64.

use half::f16;
use wootz_backend::cache::CacheShape;
use wootz_backend::step::PAGE_TOKENS;

/// How a cell of the pool holds its 16 tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// Keys transposed, then values, for each key/value head.
    KeysAndValues(CacheShape),
    /// One transposed row of `latent + rope` elements a token, whose first `latent` are the value as well.
    Latent {
        /// Layers with a cache.
        layers: usize,
        /// Elements that are key and value.
        latent: usize,
        /// Elements that are key only.
        rope: usize,
    },
}

impl Cells {
    /// Elements of one page.
    pub fn page_elements(&self) -> usize {
        match self {
            Cells::KeysAndValues(shape) => shape.page_elements(),
            Cells::Latent { layers, latent, rope } => layers * (latent + rope) * PAGE_TOKENS,
        }
    }

    /// Elements of a key and of a value.
    pub fn dims(&self) -> (usize, usize) {
        match self {
            Cells::KeysAndValues(shape) => (shape.head_dim, shape.head_dim),
            Cells::Latent { latent, rope, .. } => (latent + rope, *latent),
        }
    }

    /// Where element `dim` of the key of a token is; `slot` counts the tokens of all pages.
    pub fn key(&self, slot: usize, layer: usize, head: usize, dim: usize) -> usize {
        let (page, slot) = (slot / PAGE_TOKENS, slot % PAGE_TOKENS);
        match self {
            Cells::KeysAndValues(shape) => {
                shape.cell_offset(page, layer, head) + shape.key_element(slot, dim)
            }
            Cells::Latent { layers, latent, rope } => {
                ((page * layers + layer) * (latent + rope) + dim) * PAGE_TOKENS + slot
            }
        }
    }

    /// Where element `dim` of the value of a token is.
    pub fn value(&self, slot: usize, layer: usize, head: usize, dim: usize) -> usize {
        match self {
            Cells::KeysAndValues(shape) => {
                shape.cell_offset(slot / PAGE_TOKENS, layer, head)
                    + shape.value_element(slot % PAGE_TOKENS, dim)
            }
            Cells::Latent { .. } => self.key(slot, layer, head, dim),
        }
    }
}

/// What attention of one query head is asked to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Layer and key/value head.
    pub at: (usize, usize),
    /// Factor on `query · key`.
    pub scale: f32,
    /// Scores become `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// A score without a value: it takes its share of the weights and adds nothing.
    pub sink: Option<f32>,
}

/// Attention of one `query` over the tokens in `slots`: the sum of their values by weight.
pub fn attend(pool: &[f16], cells: Cells, look: Look, query: &[f32], slots: &[usize]) -> Vec<f32> {
    let (layer, head) = look.at;
    let element = |index: usize| f64::from(pool[index].to_f32());
    let score = |&slot: &usize| {
        let products = query
            .iter()
            .enumerate()
            .map(|(dim, &q)| f64::from(q) * element(cells.key(slot, layer, head, dim)));
        let score = products.sum::<f64>() * f64::from(look.scale);
        look.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
    };
    let scores: Vec<f64> = slots.iter().map(score).collect();
    let sink = look.sink.map(f64::from);
    let most = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum = powers.iter().sum::<f64>() + sink.map_or(0.0, |sink| (sink - most).exp());
    let value = |dim| -> f64 {
        slots
            .iter()
            .zip(&powers)
            .map(|(&slot, power)| power * element(cells.value(slot, layer, head, dim)))
            .sum()
    };
    (0..cells.dims().1).map(|dim| (value(dim) / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use wootz_backend::cpu::reference::{self, Attend, CachePrecision, Pool};
    use wootz_backend::ops::Heads;
    use wootz_backend::step::{SequenceSlice, Step};
    use wootz_spec::Span;

    use super::*;
    use crate::case::values;

    const CELLS: Cells = Cells::KeysAndValues(CacheShape { layers: 1, kv_heads: 1, head_dim: 2 });

    /// Two tokens: key (1, 0) with value (1, 2), key (0, 1) with value (3, 4).
    fn pool() -> Vec<f16> {
        let mut pool = vec![f16::NAN; CELLS.page_elements()];
        for (slot, (key, value)) in
            [([1.0, 0.0], [1.0, 2.0]), ([0.0, 1.0], [3.0, 4.0])].into_iter().enumerate()
        {
            for dim in 0..2 {
                pool[CELLS.key(slot, 0, 0, dim)] = f16::from_f32(key[dim]);
                pool[CELLS.value(slot, 0, 0, dim)] = f16::from_f32(value[dim]);
            }
        }
        pool
    }

    #[test]
    fn equal_scores_give_the_mean() {
        let look = Look { at: (0, 0), scale: 1.0, softcap: None, sink: None };
        assert_eq!(attend(&pool(), CELLS, look, &[1.0, 1.0], &[0, 1]), [2.0, 3.0]);
    }

    #[test]
    fn a_sink_takes_its_share() {
        let look = Look { at: (0, 0), scale: 1.0, softcap: None, sink: Some(1.0) };
        let out = attend(&pool(), CELLS, look, &[1.0, 1.0], &[0, 1]);
        assert!((out[0] - 4.0 / 3.0).abs() < 1e-6 && (out[1] - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_cap_brings_scores_together() {
        let look = Look { at: (0, 0), scale: 100.0, softcap: Some(1e-6), sink: None };
        let out = attend(&pool(), CELLS, look, &[1.0, -1.0], &[0, 1]);
        assert!((out[0] - 2.0).abs() < 1e-5);
    }

    #[test]
    fn it_agrees_with_the_reference_of_the_cpu() {
        let shape = CacheShape { layers: 2, kv_heads: 2, head_dim: 8 };
        let (heads, tokens, scale) = (Heads { count: 4, dim: 8 }, 20, 0.4);
        let step = Step {
            tokens: vec![0; tokens],
            positions: (0..tokens as u32).collect(),
            sequences: vec![SequenceSlice { rows: 0..tokens, pages: 0..2 }],
            page_table: vec![2, 0],
            sample_rows: vec![],
            copies: Vec::new(),
        };
        let (keys, key_values, queries) = (values(20 * 16, 1), values(20 * 16, 2), values(20 * 32, 3));
        let mut reference = Pool::new(shape, CachePrecision::F16, 3 * shape.page_elements());
        reference.write(&step, 1, &keys, &key_values);
        let span = Span::Window(7);
        let mut expected = vec![0.0; 20 * 32];
        let attends = Attend { layer: 1, heads, scale, span };
        reference::attention(&reference, &step, attends, &queries, &mut expected);

        let cells = Cells::KeysAndValues(shape);
        let slot = |token: usize| [2, 0][token / 16] * 16 + token % 16;
        let mut pool = vec![f16::NAN; 3 * shape.page_elements()];
        for index in 0..20 * 16 {
            let (token, head, dim) = (index / 16, index / 8 % 2, index % 8);
            pool[cells.key(slot(token), 1, head, dim)] = f16::from_f32(keys[index]);
            pool[cells.value(slot(token), 1, head, dim)] = f16::from_f32(key_values[index]);
        }
        for (index, query) in queries.chunks_exact(8).enumerate() {
            let (row, head) = (index / 4, index % 4);
            let slots: Vec<usize> = (row.saturating_sub(6)..=row).map(slot).collect();
            let look = Look { at: (1, head / 2), scale, softcap: None, sink: None };
            let found = attend(&pool, cells, look, query, &slots);
            for (found, expected) in found.iter().zip(&expected[8 * index..]) {
                assert!((found - expected).abs() < 1e-6, "row {row}, head {head}: {found} and {expected}");
            }
        }
    }
}
