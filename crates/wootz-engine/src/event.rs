//! What the engine tells a caller.

use crate::EngineError;
use crate::request::RequestId;
use crate::sampler::Sampled;

/// Something that happened to a request.
#[derive(Debug, Clone)]
pub struct Event {
    /// The request.
    pub request: RequestId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a request. `Finished` and `Failed` are the last word on it.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// The prompt is computed; the first token is next.
    Prompted {
        /// How many of its tokens did not have to be computed.
        reused: usize,
    },
    /// The next token of the answer.
    Token(Sampled),
    /// The answer is complete.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// The answer ends here, incomplete.
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
}

impl FinishReason {
    /// The word that HTTP APIs use for it.
    pub fn name(self) -> &'static str {
        match self {
            FinishReason::EndToken(_) => "stop",
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
}
