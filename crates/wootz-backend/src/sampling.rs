//! How tokens are drawn from logits: what a request asks for, and what comes of it.
//!
//! The engine draws on the host from logits that a device computed, or lets the device draw ([`Pipeline`]): both by the
//! same rules, so that the answer is the same.
//!
//! [`Pipeline`]: crate::model::Pipeline

/// How the next token is chosen from the logits. Each field's "off" value makes its filter do nothing.
///
/// The filters are applied in the order of the fields here, which is llama.cpp's order: biases and penalties
/// change logits, then each filter keeps a part of what the one before it left, and the temperature comes last.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingSettings {
    /// Added to a token's logit before everything else. Minus infinity forbids the token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Divides positive logits and multiplies negative ones of tokens in the penalty window. 1 = off.
    pub repetition_penalty: f32,
    /// Subtracted once for each time that a token stands in the penalty window. 0 = off.
    pub frequency_penalty: f32,
    /// Subtracted once from a token that stands in the penalty window. 0 = off.
    pub presence_penalty: f32,
    /// Which tokens the three penalties look at.
    pub penalty_window: PenaltyWindow,
    /// Keeps the `k` most likely tokens. 0 = off.
    pub top_k: usize,
    /// Keeps the tokens whose surprise is nearest to the entropy, up to this mass. 1 = off.
    pub typical_p: f32,
    /// Keeps the most likely tokens until their mass reaches this. 1 = off.
    pub top_p: f32,
    /// Keeps tokens at least this many times as likely as the most likely one. 0 = off.
    pub min_p: f32,
    /// Divides the logits of what is left before the draw. 0 = greedy: always the most likely token.
    pub temperature: f32,
    /// The same seed, prompt and settings give the same tokens.
    pub seed: u64,
}

/// How far back the penalties look, over the prompt and the answer together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyWindow {
    /// At the last `n` tokens.
    Last(usize),
    /// At the whole context.
    Whole,
}

impl Default for SamplingSettings {
    /// What people expect of a local model: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05.
    fn default() -> Self {
        Self { top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.8, ..Self::plain(1.0) }
    }
}

impl SamplingSettings {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self::plain(0.0)
    }

    /// Everything off but the temperature.
    pub fn plain(temperature: f32) -> Self {
        Self {
            logit_bias: Vec::new(),
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: PenaltyWindow::Last(64),
            top_k: 0,
            typical_p: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            temperature,
            seed: 0,
        }
    }
}

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

/// A token and the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: u32,
    /// `ln p(token)` under the softmax of the model's logits, before bias, penalties, filters and temperature.
    pub logprob: f32,
}

/// A token to be drawn on the device, from the logits of one sampled row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw<'a> {
    /// How.
    pub settings: &'a SamplingSettings,
    /// What else is wanted.
    pub logprobs: Logprobs,
    /// Prompt and answer so far: what the penalties look at.
    pub context: &'a [u32],
    /// The token after them, where it is not known yet: what this sample row of the step before draws.
    pub pending: Option<u32>,
    /// How many tokens of the answer were drawn before.
    pub index: u64,
}

/// Why no token could be drawn from a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DrawFailure {
    /// A logit is NaN or plus infinity.
    BrokenLogit {
        /// The first such token.
        token: u32,
        /// Its logit.
        found: f32,
    },
    /// Every token is impossible.
    NoTokenLeft,
}
