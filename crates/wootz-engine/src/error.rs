//! What can go wrong between a request and its answer.

use std::sync::Arc;

use wootz_backend::BackendError;

use crate::disk::DiskError;

/// An error of the engine, in words for the one who sent the request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// A sampling option outside its range.
    #[error("{setting} is {found}, but it must be {allowed}")]
    Setting {
        /// The option, as the command line spells it.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A token id that the model does not have.
    #[error("token id {token} is outside the model's vocabulary of {vocab} tokens (0 to {})", .vocab.saturating_sub(1))]
    TokenOutsideVocabulary {
        /// The id.
        token: u32,
        /// The vocabulary's size.
        vocab: usize,
    },
    /// The model computed something that is no number.
    #[error("the model's logit of token {token} is {found}: its weights are damaged or overflow")]
    BrokenLogit {
        /// The first such token.
        token: u32,
        /// NaN or infinity.
        found: f32,
    },
    /// Every token is forbidden.
    #[error(
        "no token is left to choose from: the logit bias forbids all that the grammar allows here, or the model gives \
         none a chance"
    )]
    NoTokenLeft,
    /// The grammar of the answer cannot be followed any further.
    #[error(transparent)]
    Grammar(#[from] wootz_grammar::GrammarError),
    /// A mistake in what follows an answer's grammar or reasoning budget.
    #[error(
        "the engine made a mistake while it followed the answer's grammar or reasoning budget ({reason}); other \
         requests go on"
    )]
    Guide {
        /// What is known of it.
        reason: String,
    },
    /// A request without a single token.
    #[error("the prompt is empty: a model needs at least one token to go on from")]
    EmptyPrompt,
    /// A prompt that leaves no room for an answer.
    #[error(
        "the prompt has {prompt} tokens and the context holds {context}, which leaves no room for an answer: \
         shorten the prompt or ask for a longer context"
    )]
    ContextFull {
        /// Tokens in the prompt.
        prompt: usize,
        /// Tokens that the context holds.
        context: usize,
    },
    /// As many requests wait as may wait.
    #[error("{waiting} requests are waiting already, and at most {limit} may: try again later")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// The most that may.
        limit: usize,
    },
    /// The engine takes no new requests.
    #[error("the engine is shutting down and takes no new requests")]
    Stopping,
    /// A combination that the engine does not serve.
    #[error("{what} is not possible here; {possible}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What could be asked for instead.
        possible: String,
    },
    /// A text too short to be scored.
    #[error("the text has {found} tokens, but perplexity at this context needs at least {needed}")]
    TextTooShort {
        /// Tokens in the text.
        found: usize,
        /// Tokens needed.
        needed: usize,
    },
    /// A context that perplexity cannot be measured at.
    #[error(
        "perplexity needs a context of at least 4 tokens and at most what was set aside ({limit}), not {found}"
    )]
    PerplexityContext {
        /// The context asked for.
        found: usize,
        /// Tokens that the cache holds.
        limit: usize,
    },
    /// The device failed in the step that this request was part of.
    #[error(transparent)]
    Backend(#[from] Arc<BackendError>),
    /// A mistake in the engine itself. It has begun anew, without the requests that it had.
    #[error("the engine made a mistake ({reason}) and dropped the requests that it had; new ones are served")]
    Internal {
        /// What is known of it.
        reason: String,
    },
    /// Pages can't be kept on disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The tokenizer failed on the answer's tokens.
    #[error("cannot turn tokens into text: {0}")]
    Text(String),
    /// The engine thread is gone.
    #[error("the engine has stopped")]
    Stopped,
}
