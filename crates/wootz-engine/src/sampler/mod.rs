//! From logits to a token.
//!
//! A grammar's mask comes first: what it forbids has no chance, whatever the bias. Log probabilities stay those of the
//! model's own distribution, before mask, bias and penalties.
//!
//! The chain after it, in this order (llama.cpp's): logit bias, repetition, frequency and presence penalties, top-k, typical-p,
//! top-p, min-p, temperature, draw. Temperature 0 takes the most likely token after bias and penalties, and of
//! equally likely ones that with the lowest id. Draw `i` of a request depends on its seed and `i` only.

mod candidates;
mod draw;
mod filters;
mod logprobs;
mod passes;
mod penalties;
mod random;
mod settings;

pub(crate) use logprobs::log_sum_exp;
pub use settings::validate;
pub use wootz_backend::sampling::{
    Logprobs, PenaltyWindow, Sampled, SampledLogprobs, SamplingSettings, TokenLogprob,
};

use wootz_grammar::TokenMask;

use candidates::{Candidate, possible};
use filters::Kept;
use penalties::WindowCounts;

use crate::EngineError;

/// Where in a request a token is chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// Prompt and answer so far: what the penalties look at.
    pub context: &'a [u32],
    /// How many tokens of the answer were drawn before.
    pub draw: u64,
    /// The tokens that may be chosen at all; `None`: every token.
    pub allowed: Option<&'a TokenMask>,
}

/// Chooses tokens under one request's settings. Its scratch memory grows once and is used again.
#[derive(Debug)]
pub struct Sampler {
    settings: SamplingSettings,
    logprobs: Logprobs,
    changes: Changes,
    list: Vec<Candidate>,
    sums: Vec<f64>,
}

impl Sampler {
    /// A sampler for a vocabulary of `vocab` tokens, after checking the settings.
    pub fn new(settings: SamplingSettings, logprobs: Logprobs, vocab: usize) -> Result<Self, EngineError> {
        settings::validate(&settings, vocab)?;
        Ok(Self { settings, logprobs, changes: Changes::default(), list: Vec::new(), sums: Vec::new() })
    }

    /// What it was made with.
    pub fn asked(&self) -> (&SamplingSettings, Logprobs) {
        (&self.settings, self.logprobs)
    }

    /// Chooses a token from `logits` `[vocab]`.
    ///
    /// Minus infinity marks a token that is impossible. NaN, plus infinity, and logits that leave no token are errors.
    pub fn sample(&mut self, logits: &[f32], place: Place<'_>) -> Result<Sampled, EngineError> {
        let best = check(logits)?;
        let (chosen_from, best_left) = self.changes.apply(&self.settings, (logits, best), place)?;
        let temperature = self.settings.temperature;
        let token = if temperature == 0.0 {
            first_of(chosen_from, best_left)
        } else {
            let uniform = random::uniform(self.settings.seed, place.draw);
            match filters::filter(&self.settings, chosen_from, best_left, &mut self.list) {
                Kept::Everything => {
                    draw::from_all(chosen_from, best_left, temperature, uniform, &mut self.sums)
                }
                Kept::Listed => draw::from_list(&self.list, temperature, uniform),
            }
        };
        let token = token.ok_or(EngineError::NoTokenLeft)?;
        let logprobs = match self.logprobs {
            Logprobs::None => None,
            Logprobs::Top(count) => {
                let log_sum = log_sum_exp(logits, best);
                Some(SampledLogprobs {
                    chosen: (f64::from(logits[token as usize]) - log_sum) as f32,
                    top: logprobs::most_likely(logits, count, log_sum, &mut self.list),
                })
            }
        };
        Ok(Sampled { token, logprobs })
    }

    /// The log probability of `token` under the model's own distribution, with those of the `count` most likely tokens.
    pub(crate) fn score(
        &mut self,
        logits: &[f32],
        token: u32,
        count: usize,
    ) -> Result<SampledLogprobs, EngineError> {
        let log_sum = log_sum_exp(logits, check(logits)?);
        Ok(SampledLogprobs {
            chosen: (f64::from(logits[token as usize]) - log_sum) as f32,
            top: logprobs::most_likely(logits, count, log_sum, &mut self.list),
        })
    }

    /// The `count` most likely tokens after the logit bias, each with its log probability after it.
    pub(crate) fn continuations(
        &mut self,
        logits: &[f32],
        count: usize,
    ) -> Result<Vec<(f64, Sampled)>, EngineError> {
        let log_sum = log_sum_exp(logits, check(logits)?);
        let mut biased = std::borrow::Cow::Borrowed(logits);
        for &(token, bias) in &self.settings.logit_bias {
            if let Some(logit) = biased.to_mut().get_mut(token as usize) {
                *logit += bias;
            }
        }
        let biased_sum = log_sum_exp(&biased, check(&biased)?);
        let top = match self.logprobs {
            Logprobs::None => None,
            Logprobs::Top(count) => Some(logprobs::most_likely(logits, count, log_sum, &mut self.list)),
        };
        let best = logprobs::most_likely(&biased, count, biased_sum, &mut self.list);
        let possible = best.into_iter().filter(|found| found.logprob > f32::NEG_INFINITY);
        let continuation = |found: TokenLogprob| {
            let logit = |logits: &[f32]| f64::from(logits[found.token as usize]);
            let chosen = (logit(logits) - log_sum) as f32;
            let logprobs = top.clone().map(|top| SampledLogprobs { chosen, top });
            (logit(&biased) - biased_sum, Sampled { token: found.token, logprobs })
        };
        Ok(possible.map(continuation).collect())
    }

    /// The distribution that [`Sampler::sample`] draws from: tokens with a probability above zero, by id.
    pub fn distribution(&mut self, logits: &[f32], place: Place<'_>) -> Result<Vec<(u32, f64)>, EngineError> {
        let best = check(logits)?;
        let (chosen_from, best) = self.changes.apply(&self.settings, (logits, best), place)?;
        let temperature = self.settings.temperature;
        if temperature == 0.0 {
            return Ok(first_of(chosen_from, best).map(|token| (token, 1.0)).into_iter().collect());
        }
        let mut left: Vec<Candidate> =
            match filters::filter(&self.settings, chosen_from, best, &mut self.list) {
                Kept::Everything => possible(chosen_from).collect(),
                Kept::Listed => self.list.clone(),
            };
        left.sort_unstable_by_key(|c| c.token);
        let best = left.iter().fold(f32::NEG_INFINITY, |best, c| best.max(c.logit));
        let mass: f64 = left.iter().map(|c| draw::tempered(c.logit, best, temperature)).sum();
        let share = |c: Candidate| (c.token, draw::tempered(c.logit, best, temperature) / mass);
        Ok(left.into_iter().map(share).filter(|(_, p)| *p > 0.0).collect())
    }
}

/// Mask, bias and penalties, and the memory that they need.
#[derive(Debug, Default)]
struct Changes {
    logits: Vec<f32>,
    counts: WindowCounts,
}

impl Changes {
    /// The logits after mask, bias and penalties, and the greatest of them.
    fn apply<'a>(
        &'a mut self,
        settings: &SamplingSettings,
        (logits, best): (&'a [f32], f32),
        place: Place<'_>,
    ) -> Result<(&'a [f32], f32), EngineError> {
        if place.allowed.is_none() && !settings::changes_logits(settings) {
            return Ok((logits, best));
        }
        self.logits.clear();
        match place.allowed {
            Some(mask) => passes::masked(logits, mask.words(), &mut self.logits),
            None => self.logits.extend_from_slice(logits),
        }
        for &(token, bias) in &settings.logit_bias {
            if let Some(logit) = self.logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if settings::penalises(settings) {
            self.counts.penalise(settings, place.context, &mut self.logits);
        }
        let best = check(&self.logits)?;
        Ok((&self.logits, best))
    }
}

/// The greatest logit, after looking for numbers that are none.
fn check(logits: &[f32]) -> Result<f32, EngineError> {
    match passes::greatest(logits) {
        Ok(f32::NEG_INFINITY) => Err(EngineError::NoTokenLeft),
        Ok(best) => Ok(best),
        Err(place) => Err(EngineError::BrokenLogit { token: place as u32, found: logits[place] }),
    }
}

/// The token with the greatest logit; the lowest id of equals.
fn first_of(logits: &[f32], best: f32) -> Option<u32> {
    logits.iter().position(|&logit| logit == best).map(|token| token as u32)
}
