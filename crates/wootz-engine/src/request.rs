//! What a caller asks of the engine.

use std::num::NonZeroUsize;

use crate::sampler::{Logprobs, SamplingSettings};

/// A prompt to continue. Text, templates and stop strings are the caller's business: the engine sees tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The prompt's tokens, in order; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingSettings,
    /// The most tokens to generate; `None`: until the model ends its answer or the context is full.
    pub max_tokens: Option<NonZeroUsize>,
    /// Tokens that end the answer; not part of it.
    pub end_tokens: Vec<u32>,
    /// Log probabilities wanted with each token.
    pub logprobs: Logprobs,
}

/// Names a request in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);
