//! From logits to a token.
//!
//! The chain, in this order (llama.cpp's): logit bias, repetition, frequency and presence penalties, top-k, typical-p,
//! top-p, min-p, temperature, draw. Temperature 0 takes the most likely token after bias and penalties, and of
//! equally likely ones that with the lowest id. Draw `i` of a request depends on its seed and `i` only.

mod candidates;
mod filters;
mod logprobs;
mod penalties;
mod random;
mod settings;

pub use logprobs::TokenLogprob;
pub(crate) use logprobs::log_sum_exp;
pub use settings::{PenaltyWindow, SamplingSettings};

use candidates::{Candidate, possible};
use filters::Kept;
use penalties::WindowCounts;

use crate::EngineError;

/// Which log probabilities a request wants with each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logprobs {
    /// None: nothing is computed for them.
    #[default]
    None,
    /// The chosen token's, and those of the `n` most likely tokens.
    Top(usize),
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: u32,
    /// Its log probability and its rivals', if they were asked for.
    pub logprobs: Option<SampledLogprobs>,
}

/// The log probabilities that come with a chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledLogprobs {
    /// `ln p` of the chosen token under the model's own distribution.
    pub chosen: f32,
    /// The most likely tokens, most likely first.
    pub top: Vec<TokenLogprob>,
}

/// Where in a request a token is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Prompt and answer so far: what the penalties look at.
    pub context: &'a [u32],
    /// How many tokens of the answer were drawn before.
    pub draw: u64,
}

/// Chooses tokens under one request's settings. Its scratch memory grows once and is used again.
#[derive(Debug)]
pub struct Sampler {
    settings: SamplingSettings,
    logprobs: Logprobs,
    changed: Vec<f32>,
    list: Vec<Candidate>,
    counts: WindowCounts,
}

impl Sampler {
    /// A sampler for a vocabulary of `vocab` tokens, after checking the settings.
    pub fn new(settings: SamplingSettings, logprobs: Logprobs, vocab: usize) -> Result<Self, EngineError> {
        settings.validate(vocab)?;
        Ok(Self {
            settings,
            logprobs,
            changed: Vec::new(),
            list: Vec::new(),
            counts: WindowCounts::default(),
        })
    }

    /// Chooses a token from `logits` `[vocab]`.
    ///
    /// Minus infinity marks a token that is impossible. NaN, plus infinity, and logits that leave no token are errors.
    pub fn sample(&mut self, logits: &[f32], place: Place<'_>) -> Result<Sampled, EngineError> {
        let best = check(logits)?;
        self.change(logits, place.context);
        let chosen_from = if self.settings.changes_logits() { &self.changed } else { logits };
        let token = if self.settings.temperature == 0.0 {
            most_likely(chosen_from)?
        } else {
            let kept = keep(&self.settings, chosen_from, &mut self.list)?;
            let uniform = random::uniform(self.settings.seed, place.draw);
            match kept {
                Kept::Everything => draw(possible(chosen_from), self.settings.temperature, uniform)?,
                Kept::Listed => draw(self.list.iter().copied(), self.settings.temperature, uniform)?,
            }
        };
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

    /// The distribution that [`Sampler::sample`] draws from: tokens with a probability above zero, by id.
    pub fn distribution(&mut self, logits: &[f32], context: &[u32]) -> Result<Vec<(u32, f64)>, EngineError> {
        check(logits)?;
        self.change(logits, context);
        let chosen_from = if self.settings.changes_logits() { &self.changed } else { logits };
        if self.settings.temperature == 0.0 {
            return Ok(vec![(most_likely(chosen_from)?, 1.0)]);
        }
        let mut left: Vec<Candidate> = match keep(&self.settings, chosen_from, &mut self.list)? {
            Kept::Everything => possible(chosen_from).collect(),
            Kept::Listed => self.list.clone(),
        };
        left.sort_unstable_by_key(|c| c.token);
        let best = left.iter().fold(f32::NEG_INFINITY, |best, c| best.max(c.logit));
        let temperature = self.settings.temperature;
        let mass: f64 = left.iter().map(|c| tempered(c.logit, best, temperature)).sum();
        let share = |c: Candidate| (c.token, tempered(c.logit, best, temperature) / mass);
        Ok(left.into_iter().map(share).filter(|(_, p)| *p > 0.0).collect())
    }

    /// Writes the logits after bias and penalties to `changed`, if there are any.
    fn change(&mut self, logits: &[f32], context: &[u32]) {
        if !self.settings.changes_logits() {
            return;
        }
        self.changed.clear();
        self.changed.extend_from_slice(logits);
        for &(token, bias) in &self.settings.logit_bias {
            if let Some(logit) = self.changed.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if self.settings.penalises() {
            self.counts.penalise(&self.settings, context, &mut self.changed);
        }
    }
}

/// The greatest logit, after looking for numbers that are none.
fn check(logits: &[f32]) -> Result<f32, EngineError> {
    let mut best = f32::NEG_INFINITY;
    let mut broken = false;
    for &logit in logits {
        broken |= logit.is_nan() || logit == f32::INFINITY;
        best = best.max(logit);
    }
    if broken {
        let bad = logits.iter().enumerate().find(|(_, logit)| logit.is_nan() || **logit == f32::INFINITY);
        let (token, &found) = bad.unwrap_or((0, &f32::NAN));
        return Err(EngineError::BrokenLogit { token: token as u32, found });
    }
    if best == f32::NEG_INFINITY { Err(EngineError::NoTokenLeft) } else { Ok(best) }
}

/// The token with the greatest logit; the lowest id of equals.
fn most_likely(logits: &[f32]) -> Result<u32, EngineError> {
    let first = possible(logits).reduce(|best, c| if c.logit > best.logit { c } else { best });
    first.map(|c| c.token).ok_or(EngineError::NoTokenLeft)
}

/// Runs the filters; an error when bias and penalties have left nothing, or broken a number.
fn keep(settings: &SamplingSettings, logits: &[f32], list: &mut Vec<Candidate>) -> Result<Kept, EngineError> {
    let best = check(logits)?;
    Ok(filters::filter(settings, logits, best, list))
}

/// `exp((logit - best) / temperature)`.
fn tempered(logit: f32, best: f32, temperature: f32) -> f64 {
    f64::from(((logit - best) / temperature).exp())
}

/// The candidate at share `uniform` of the tempered mass, walking in the given order.
fn draw(
    candidates: impl Iterator<Item = Candidate> + Clone,
    temperature: f32,
    uniform: f64,
) -> Result<u32, EngineError> {
    let best = candidates.clone().fold(f32::NEG_INFINITY, |best, c| best.max(c.logit));
    let mass: f64 = candidates.clone().map(|c| tempered(c.logit, best, temperature)).sum();
    let mut rest = uniform * mass;
    let mut last = None;
    for candidate in candidates {
        let share = tempered(candidate.logit, best, temperature);
        if share > 0.0 {
            // Rounding may leave a crumb after the last candidate: it then is the one.
            last = Some(candidate.token);
            rest -= share;
            if rest < 0.0 {
                break;
            }
        }
    }
    last.ok_or(EngineError::NoTokenLeft)
}
