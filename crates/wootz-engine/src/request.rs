//! What a caller asks of the engine.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::guide::Guide;
use crate::prediction::Prediction;
use crate::sampler::{Logprobs, SamplingSettings};

/// A prompt to continue. Text, templates and stop strings are the caller's business: the engine sees tokens.
#[derive(Debug, Clone)]
pub struct Request {
    /// The prompt's tokens, in order; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen. Answer `i` of several draws with `seed + i`, wrapping around.
    pub sampling: SamplingSettings,
    /// The most tokens to generate; `None`: until the model ends its answer or the context is full.
    pub max_tokens: Option<NonZeroUsize>,
    /// Tokens that end the answer; not part of it.
    pub end_tokens: Vec<u32>,
    /// Log probabilities wanted with each token.
    pub logprobs: Logprobs,
    /// Log probabilities of the prompt's own tokens, each with those of so many most likely tokens. All of the prompt is
    /// computed then: no earlier request's pages are reused.
    pub prompt_logprobs: Option<usize>,
    /// Whether what earlier requests computed is taken over.
    pub reuse: PrefixReuse,
    /// How many answers, and how they are searched for.
    pub answers: Answers,
    /// What steers the answer besides the sampler: a reasoning budget, a grammar.
    pub guide: Guide,
    /// What the answer will probably be; empty: nobody knows. For one drawn answer only.
    pub prediction: Prediction,
    /// When it runs, compared with others.
    pub scheduling: Scheduling,
}

impl Request {
    /// One answer with the default sampling, and nothing else asked for.
    pub fn new(prompt: Vec<u32>, end_tokens: Vec<u32>) -> Self {
        Self {
            prompt,
            sampling: SamplingSettings::default(),
            max_tokens: None,
            end_tokens,
            logprobs: Logprobs::None,
            prompt_logprobs: None,
            reuse: PrefixReuse::default(),
            answers: Answers::default(),
            guide: Guide::default(),
            prediction: Prediction::default(),
            scheduling: Scheduling::default(),
        }
    }
}

/// Whether a request takes over the keys and values of a beginning that was computed before. It never changes the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrefixReuse {
    /// As many as are there.
    #[default]
    Longest,
    /// None: all of the prompt is computed. Others may take over what it computes.
    Nothing,
}

/// How many answers a request has, and how they come about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answers {
    /// So many answers, each drawn on its own.
    Sampled(NonZeroUsize),
    /// The best answers that a beam search finds. They come at the end, best first.
    Beams(BeamSearch),
}

impl Answers {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Answers::Sampled(count) => count.get(),
            Answers::Beams(search) => search.width.get(),
        }
    }
}

impl Default for Answers {
    /// One, drawn.
    fn default() -> Self {
        Answers::Sampled(NonZeroUsize::MIN)
    }
}

/// A search for the answers with the best score: the sum of the log probabilities of an answer's tokens (its end token
/// among them), divided by `length ^ length_penalty`. Log probabilities are the model's own: of the sampling settings, only
/// the logit bias counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamSearch {
    /// Hypotheses that are followed together, and answers that come of it.
    pub width: NonZeroUsize,
    /// 0: the sum alone, which favours short answers; 1: the mean; more favours long answers.
    pub length_penalty: f32,
}

/// When a request runs, compared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// Higher goes first.
    pub priority: i32,
    /// By when after its arrival the answer should have begun; heeded by [`Policy::Deadline`](crate::Policy).
    pub deadline: Option<Duration>,
    /// On whose account it runs; heeded by [`Policy::FairShare`](crate::Policy).
    pub tenant: Tenant,
}

/// Somebody who shares the engine with others: the holder of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tenant(pub u64);

/// Names a request in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);
