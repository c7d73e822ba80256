//! What the engine tells a caller.

use std::time::Duration;

use crate::EngineError;
use crate::prediction::DraftCounts;
use crate::request::RequestId;
use crate::sampler::{Sampled, SampledLogprobs};

/// Something that happened to a request.
#[derive(Debug, Clone)]
pub struct Event {
    /// The request.
    pub request: RequestId,
    /// What happened to which answer.
    pub event: AnswerEvent,
}

/// Something that happened to an answer.
#[derive(Debug, Clone)]
pub struct AnswerEvent {
    /// Which of the request's answers, counted from 0. What is about the whole request says 0.
    pub answer: usize,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to an answer.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// The prompt is computed; the first token is next. About the whole request, once.
    Prompted {
        /// How many of its tokens did not have to be computed.
        reused: usize,
        /// How long the request waited before its first step.
        queued: Duration,
    },
    /// The log probabilities of the prompt's tokens, if they were asked for: one entry a token, `None` for the first, which
    /// nothing predicts. About the whole request, once, after [`EventKind::Prompted`].
    PromptLogprobs(Vec<Option<SampledLogprobs>>),
    /// The next token of the answer.
    Token(Sampled),
    /// The answer is complete: the last word on it.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// All answers of the request end here, those that are not finished incomplete: the last word on all of it.
    Failed(EngineError),
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model chose this end token.
    EndToken(u32),
    /// As many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// The grammar is complete: nothing but the end could follow.
    GrammarComplete,
    /// The caller stopped it, having found a stop string.
    Stopped,
}

impl FinishReason {
    /// The word that HTTP APIs use for it.
    pub fn name(self) -> &'static str {
        match self {
            FinishReason::EndToken(_) | FinishReason::GrammarComplete | FinishReason::Stopped => "stop",
            FinishReason::MaxTokens | FinishReason::ContextFull => "length",
        }
    }
}

/// Counts of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the prompt.
    pub prompt: usize,
    /// Of those, how many did not have to be computed: their keys and values were still there.
    pub reused: usize,
    /// In the answer, without the end token.
    pub generated: usize,
    /// Of those, how many are reasoning.
    pub reasoning: usize,
    /// What became of the tokens of its prediction that were tried.
    pub drafts: DraftCounts,
}
