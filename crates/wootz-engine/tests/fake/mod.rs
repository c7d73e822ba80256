//! A model whose next token depends on every earlier one, read through the page tables it is given.

#[allow(dead_code)]
pub mod reference;

use std::collections::VecDeque;
use std::ops::Range;

use wootz_backend::BackendError;
use wootz_backend::cache::CacheShape;
use wootz_backend::model::{Model, Pipeline};
use wootz_backend::sampling::{Draw, DrawFailure, Logprobs, Sampled, SamplingSettings};
use wootz_backend::step::{PAGE_TOKENS, Step, StepLimits, pending_sample};
use wootz_engine::{Place, Sampler};
use wootz_spec::{Head, ModelSpec, Norm};

/// Remembers the tokens written to each page, as a real model remembers their keys and values.
pub struct FakeModel {
    spec: ModelSpec,
    limits: StepLimits,
    pool: Vec<Option<u32>>,
    logits: Vec<f32>,
    /// The steps that fail, counted from 0.
    pub fails: Range<usize>,
    /// The steps that panic.
    pub panics: Range<usize>,
    /// The steps whose logits are too few: no device may do that, and an engine that is given them panics.
    pub broken: Range<usize>,
    /// Whether it draws tokens itself.
    pub draws: bool,
    steps: usize,
    /// Results of steps that were not collected yet; computed when they were submitted.
    under_way: VecDeque<Result<Vec<Result<Sampled, DrawFailure>>, BackendError>>,
    /// What the last submitted step drew.
    last_drawn: Vec<u32>,
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
        Self {
            spec,
            limits,
            pool,
            logits: Vec::new(),
            fails: 0..0,
            panics: 0..0,
            broken: 0..0,
            draws: false,
            steps: 0,
            under_way: VecDeque::new(),
            last_drawn: Vec::new(),
        }
    }
}

impl Model for FakeModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        CacheShape { layers: 1, kv_heads: 1, head_dim: 2 }
    }

    fn limits(&self) -> StepLimits {
        self.limits
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        step.validate(&self.limits)?;
        self.steps += 1;
        if self.fails.contains(&(self.steps - 1)) {
            self.spoil(step);
            return Err(BackendError::Device { reason: "as arranged".into() });
        }
        assert!(!self.panics.contains(&(self.steps - 1)), "as arranged");
        if self.broken.contains(&(self.steps - 1)) {
            return Ok(&[]);
        }
        for copy in &step.copies {
            let from = copy.from as usize * PAGE_TOKENS;
            self.pool.copy_within(from..from + PAGE_TOKENS, copy.to as usize * PAGE_TOKENS);
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

    /// A token takes four bytes, one more than its id; 0 stands for none. The rest of the page is zeros.
    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.cache().page_range(page, self.limits.pages, bytes.len())?;
        bytes.fill(0);
        let tokens = &self.pool[page as usize * PAGE_TOKENS..][..PAGE_TOKENS];
        for (to, token) in bytes.chunks_exact_mut(4).zip(tokens) {
            to.copy_from_slice(&token.map_or(0, |token| token + 1).to_le_bytes());
        }
        Ok(())
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.cache().page_range(page, self.limits.pages, bytes.len())?;
        let tokens = &mut self.pool[page as usize * PAGE_TOKENS..][..PAGE_TOKENS];
        for (token, from) in tokens.iter_mut().zip(bytes.chunks_exact(4)) {
            *token = u32::from_le_bytes([from[0], from[1], from[2], from[3]]).checked_sub(1);
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        self.draws.then_some(self)
    }
}

impl Pipeline for FakeModel {
    fn draws(&self, settings: &SamplingSettings, _: Logprobs) -> bool {
        settings.typical_p == 1.0
    }

    fn submit(&mut self, step: &Step, draws: &[Draw<'_>]) -> Result<(), BackendError> {
        assert!(self.under_way.len() < 2);
        assert_eq!(draws.len(), step.sample_rows.len());
        step.validate_after(&self.limits, self.last_drawn.len())?;
        let mut known = step.clone();
        for token in &mut known.tokens {
            if let Some(sample) = pending_sample(*token) {
                *token = self.last_drawn[sample as usize];
            }
        }
        let logits = self.forward(&known).map(<[f32]>::to_vec);
        let drawn = logits.map(|logits| {
            let rows = logits.chunks_exact(self.limits.vocab).zip(draws);
            rows.map(|(logits, draw)| self.draw(logits, draw)).collect::<Vec<_>>()
        });
        self.last_drawn = match &drawn {
            Ok(drawn) => drawn.iter().map(|sampled| sampled.as_ref().unwrap().token).collect(),
            Err(_) => vec![0; draws.len()],
        };
        self.under_way.push_back(drawn);
        Ok(())
    }

    fn collect(&mut self) -> Result<Vec<Result<Sampled, DrawFailure>>, BackendError> {
        self.under_way.pop_front().expect("a step is under way")
    }
}

impl FakeModel {
    /// A step that fails leaves anything in the pages that it was to write.
    fn spoil(&mut self, step: &Step) {
        for sequence in &step.sequences {
            let pages = &step.page_table[sequence.pages.clone()];
            for row in sequence.rows.clone() {
                let position = step.positions[row] as usize;
                let place = pages[position / PAGE_TOKENS] as usize * PAGE_TOKENS + position % PAGE_TOKENS;
                self.pool[place] = Some(u32::MAX - 1);
            }
        }
        for copy in &step.copies {
            self.pool[copy.to as usize * PAGE_TOKENS..][..PAGE_TOKENS].fill(Some(u32::MAX - 1));
        }
    }

    fn draw(&self, logits: &[f32], draw: &Draw<'_>) -> Result<Sampled, DrawFailure> {
        let pending = draw.pending.map(|sample| self.last_drawn[sample as usize]);
        let context: Vec<u32> = draw.context.iter().copied().chain(pending).collect();
        let mut sampler = Sampler::new(draw.settings.clone(), draw.logprobs, self.limits.vocab).unwrap();
        Ok(sampler.sample(logits, Place { context: &context, draw: draw.index, allowed: None }).unwrap())
    }
}
