//! A request on its way: its tokens, and the pages that hold their keys and values.

use std::time::Duration;

use crate::event::{FinishReason, Usage};
use crate::pages::Page;
use crate::request::{Request, RequestId};
use crate::sampler::Sampler;

/// A request that the scheduler works on.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: RequestId,
    /// Prompt, then answer.
    pub(crate) tokens: Vec<u32>,
    /// How many of them are the prompt.
    pub(crate) prompt: usize,
    /// How many leading tokens have their keys and values in `pages`, or will have when the steps under way are done.
    pub(crate) computed: usize,
    /// The token after the last one is being drawn, by this sample row of the newest step.
    pub(crate) awaited: Option<u32>,
    /// Steps under way that write to `pages`.
    pub(crate) under_way: usize,
    /// How many prompt tokens were taken over from an earlier sequence.
    pub(crate) reused: usize,
    /// When it arrived, and how long it waited once it runs; since the engine's start.
    pub(crate) arrived: Duration,
    pub(crate) queued: Duration,
    /// Page `i` holds positions `16·i .. 16·(i + 1)`; enough for all tokens that this sequence may ever have.
    pub(crate) pages: Vec<Page>,
    /// The length at which it ends.
    pub(crate) limit: Limit,
    pub(crate) end_tokens: Vec<u32>,
    pub(crate) sampler: Sampler,
}

/// The length at which a sequence ends, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Tokens of prompt and answer.
    pub(crate) tokens: usize,
    /// What to call it.
    pub(crate) reason: FinishReason,
}

impl Limit {
    /// The nearer of what the request asks for and what the context holds.
    fn of(request: &Request, context: usize) -> Self {
        match request.max_tokens.and_then(|count| count.get().checked_add(request.prompt.len())) {
            Some(tokens) if tokens <= context => Self { tokens, reason: FinishReason::MaxTokens },
            _ => Self { tokens: context, reason: FinishReason::ContextFull },
        }
    }
}

impl Sequence {
    /// A sequence that has computed nothing and holds nothing.
    pub(crate) fn new(
        id: RequestId,
        request: Request,
        sampler: Sampler,
        context: usize,
        arrived: Duration,
    ) -> Self {
        Self {
            id,
            limit: Limit::of(&request, context),
            prompt: request.prompt.len(),
            tokens: request.prompt,
            computed: 0,
            awaited: None,
            under_way: 0,
            reused: 0,
            arrived,
            queued: Duration::ZERO,
            pages: Vec::new(),
            end_tokens: request.end_tokens,
            sampler,
        }
    }

    /// Tokens whose keys and values are still to be computed, the awaited one among them; none if the awaited one is
    /// certain to be the last.
    pub(crate) fn pending(&self) -> usize {
        match self.awaited {
            None => self.tokens.len() - self.computed,
            Some(_) if self.tokens.len() + 1 >= self.limit.tokens => 0,
            Some(_) => self.tokens.len() + 1 - self.computed,
        }
    }

    /// Tokens of the answer so far.
    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// Its counts of tokens.
    pub(crate) fn usage(&self) -> Usage {
        Usage { prompt: self.prompt, reused: self.reused, generated: self.generated(), reasoning: 0 }
    }
}
