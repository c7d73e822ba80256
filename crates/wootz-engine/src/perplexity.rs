//! How well a model predicts a text: `exp` of the mean surprise of its tokens.
//!
//! The text is cut as `llama-perplexity` cuts it, so that figures compare: all of it is tokenised once, with the token
//! that begins a sequence if the model wants one; chunks of `context` tokens follow each other without overlap, the
//! rest at the end is left out; in each chunk the first token is replaced by the beginning token, and the
//! second half is scored, so that each scored token has at least half a context before it.

use std::sync::Arc;

use wootz_backend::cache::pages_for;
use wootz_backend::model::Model;
use wootz_backend::step::{PAGE_TOKENS, SequenceSlice, Step};

use crate::EngineError;
use crate::sampler::log_sum_exp;

/// What to score.
#[derive(Debug, Clone, Copy)]
pub struct PerplexityText<'a> {
    /// The text's tokens.
    pub tokens: &'a [u32],
    /// The token that every chunk begins with, in place of its own first one.
    pub begin: Option<u32>,
    /// Tokens in a chunk.
    pub context: usize,
    /// The most chunks to score.
    pub chunks: usize,
}

/// A perplexity over the tokens scored so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perplexity {
    /// `exp(mean surprise)`.
    pub value: f64,
    /// The standard error of `value`, from the spread of the tokens' surprises.
    pub error: f64,
    /// Tokens scored.
    pub tokens: usize,
    /// Chunks scored.
    pub chunk: usize,
    /// Chunks there are to score.
    pub chunks: usize,
}

/// Sums of surprises, in nats.
#[derive(Debug, Default)]
struct Surprises {
    count: usize,
    sum: f64,
    squares: f64,
}

impl Surprises {
    fn add(&mut self, surprise: f64) {
        self.count += 1;
        self.sum += surprise;
        self.squares += surprise * surprise;
    }

    fn perplexity(&self, chunk: usize, chunks: usize) -> Perplexity {
        let count = self.count as f64;
        let mean = self.sum / count;
        let variance = (self.squares / count - mean * mean).max(0.0);
        let value = mean.exp();
        let error = value * (variance / (count - 1.0).max(1.0)).sqrt();
        Perplexity { value, error, tokens: self.count, chunk, chunks }
    }
}

/// Scores a text, and tells `progress` what it is after each chunk. The model's pages 0 and up are used.
pub fn perplexity(
    model: &mut dyn Model,
    text: PerplexityText<'_>,
    mut progress: impl FnMut(Perplexity),
) -> Result<Perplexity, EngineError> {
    let PerplexityText { tokens, begin, context, chunks } = text;
    let limits = model.limits();
    let limit = limits.positions.min(limits.pages * PAGE_TOKENS);
    if context < 4 || context > limit {
        return Err(EngineError::PerplexityContext { found: context, limit });
    }
    if let Some(&token) = tokens.iter().chain(&begin).find(|&&token| token as usize >= limits.vocab) {
        return Err(EngineError::TokenOutsideVocabulary { token, vocab: limits.vocab });
    }
    if tokens.len() < 2 * context {
        return Err(EngineError::TextTooShort { found: tokens.len(), needed: 2 * context });
    }
    let chunks = (tokens.len() / context).min(chunks.max(1));
    let mut surprises = Surprises::default();
    let mut result = surprises.perplexity(0, chunks);
    for (index, own) in tokens.chunks_exact(context).take(chunks).enumerate() {
        let mut chunk = own.to_vec();
        if let Some(begin) = begin {
            chunk[0] = begin;
        }
        score_chunk(model, &chunk, own, &mut surprises)?;
        result = surprises.perplexity(index + 1, chunks);
        progress(result);
    }
    Ok(result)
}

/// Adds the surprises of the second half of `chunk`, in steps as large as the model takes.
fn score_chunk(
    model: &mut dyn Model,
    chunk: &[u32],
    own: &[u32],
    surprises: &mut Surprises,
) -> Result<(), EngineError> {
    let limits = model.limits();
    let first_scored = chunk.len() / 2;
    let mut start = 0;
    // The last token predicts nothing of this chunk.
    let end = chunk.len() - 1;
    while start < end {
        let unscored = first_scored.saturating_sub(start);
        let rows = (end - start).min(limits.rows).min(unscored.saturating_add(limits.samples));
        let step = Step {
            tokens: chunk[start..start + rows].to_vec(),
            positions: (start as u32..(start + rows) as u32).collect(),
            sequences: vec![SequenceSlice { rows: 0..rows, pages: 0..pages_for(start + rows) }],
            page_table: (0..pages_for(start + rows) as u32).collect(),
            sample_rows: (unscored.min(rows) as u32..rows as u32).collect(),
            copies: Vec::new(),
        };
        let logits = model.forward(&step).map_err(Arc::new)?;
        for (row, logits) in step.sample_rows.iter().zip(logits.chunks_exact(limits.vocab)) {
            let next = own[start + *row as usize + 1];
            surprises.add(surprise(logits, next)?);
        }
        start += rows;
    }
    Ok(())
}

/// `-ln p(token)` under the softmax of `logits`.
fn surprise(logits: &[f32], token: u32) -> Result<f64, EngineError> {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let surprise = log_sum_exp(logits, best) - f64::from(logits[token as usize]);
    if surprise.is_nan() {
        return Err(EngineError::BrokenLogit { token, found: logits[token as usize] });
    }
    Ok(surprise)
}
