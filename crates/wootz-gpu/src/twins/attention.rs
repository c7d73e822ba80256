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
    use super::*;

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
}
