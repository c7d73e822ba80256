//! Tokens as clients see them.

use wootz_engine::SampledLogprobs;
use wootz_weights::tokenizer::Tokenizer;

/// A token, with its text and its log probability.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenText {
    /// Its id.
    pub token: u32,
    /// Its bytes, which may be a part of a character only.
    pub bytes: Vec<u8>,
    /// Where in the text it begins, in characters.
    pub offset: usize,
    /// The natural logarithm of its probability; `None` for the first token of a prompt, which nothing predicts.
    pub logprob: Option<f32>,
    /// The most likely tokens in its place, most likely first.
    pub top: Vec<Rival>,
}

/// A token that could have been there instead.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// Its id.
    pub token: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub logprob: f32,
}

/// A token with what is known of it.
pub fn describe(
    tokenizer: &Tokenizer,
    token: u32,
    offset: usize,
    logprobs: Option<SampledLogprobs>,
) -> TokenText {
    let bytes = |token| tokenizer.token_bytes(token).unwrap_or_default();
    let logprob = logprobs.as_ref().map(|logprobs| logprobs.chosen);
    let top = logprobs.map(|logprobs| logprobs.top).unwrap_or_default();
    let top = top.into_iter().map(|rival| Rival {
        token: rival.token,
        bytes: bytes(rival.token),
        logprob: rival.logprob,
    });
    TokenText { token, bytes: bytes(token), offset, logprob, top: top.collect() }
}

/// A logarithm that JSON can hold: what is impossible is only very unlikely there, as OpenAI has it.
pub fn finite(logprob: f32) -> f32 {
    logprob.max(-9999.0)
}
