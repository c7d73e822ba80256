//! A model whose next token depends on every earlier one, read through the page tables it is given.

use wootz_backend::BackendError;
use wootz_backend::cache::CacheShape;
use wootz_backend::model::Model;
use wootz_backend::step::{PAGE_TOKENS, Step, StepLimits};
use wootz_spec::{Head, ModelSpec, Norm};

/// Remembers the tokens written to each page, as a real model remembers their keys and values.
pub struct FakeModel {
    spec: ModelSpec,
    limits: StepLimits,
    pool: Vec<Option<u32>>,
    logits: Vec<f32>,
    /// Steps from this one on fail.
    pub fails_at: Option<usize>,
    steps: usize,
}

/// The logits after `tokens`: a hash of all of them decides.
pub fn logits_after(tokens: &[u32], vocab: usize) -> Vec<f32> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for &token in tokens {
        state = (state ^ u64::from(token)).wrapping_mul(0x100_0000_01b3).rotate_left(23);
    }
    (0..vocab as u64)
        .map(|token| {
            let mixed =
                (state ^ token.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed >> 40) as f32 / (1 << 24) as f32 * 8.0
        })
        .collect()
}

impl FakeModel {
    pub fn new(limits: StepLimits) -> Self {
        let norm = Norm { eps: 1e-5, weight_offset: 0.0 };
        let spec = ModelSpec {
            architecture: "fake".into(),
            dim: 1,
            vocab: limits.vocab,
            context: limits.positions,
            embed_scale: 1.0,
            layers: Vec::new(),
            final_norm: norm,
            head: Head::Tied,
        };
        let pool = vec![None; limits.pages * PAGE_TOKENS];
        Self { spec, limits, pool, logits: Vec::new(), fails_at: None, steps: 0 }
    }
}

impl Model for FakeModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        CacheShape { layers: 0, kv_heads: 1, head_dim: 2 }
    }

    fn limits(&self) -> StepLimits {
        self.limits
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        step.validate(&self.limits)?;
        self.steps += 1;
        if self.fails_at.is_some_and(|step| self.steps > step) {
            return Err(BackendError::Device { reason: "as arranged".into() });
        }
        self.logits.clear();
        for sequence in &step.sequences {
            let pages = &step.page_table[sequence.pages.clone()];
            let place = |position: u32| {
                let position = position as usize;
                pages[position / PAGE_TOKENS] as usize * PAGE_TOKENS + position % PAGE_TOKENS
            };
            for row in sequence.rows.clone() {
                self.pool[place(step.positions[row])] = Some(step.tokens[row]);
                if step.sample_rows.contains(&(row as u32)) {
                    let seen: Vec<u32> = (0..=step.positions[row])
                        .map(|position| {
                            self.pool[place(position)].expect("a position before was never computed")
                        })
                        .collect();
                    self.logits.extend(logits_after(&seen, self.limits.vocab));
                }
            }
        }
        Ok(&self.logits)
    }
}
