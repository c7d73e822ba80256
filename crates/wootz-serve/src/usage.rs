//! Counts of tokens, as the API words them.

use serde::Serialize;
use utoipa::ToSchema;
use wootz_engine::Usage;

/// What a request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageJson {
    /// Tokens of all prompts; a prompt counts once, however many answers it has.
    pub prompt_tokens: usize,
    /// Tokens of all answers, without end tokens.
    pub completion_tokens: usize,
    /// Both together.
    pub total_tokens: usize,
    /// About the prompts.
    pub prompt_tokens_details: PromptTokens,
    /// About the answers.
    pub completion_tokens_details: CompletionTokens,
}

/// About the tokens of prompts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokens {
    /// Those that did not have to be computed: an earlier request began with them.
    pub cached_tokens: usize,
}

/// About the tokens of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompletionTokens {
    /// Those that are reasoning.
    pub reasoning_tokens: usize,
    /// Those that came as predicted and needed no step of their own.
    pub accepted_prediction_tokens: usize,
    /// Those of a prediction that were computed in vain. They are no part of the answer, and not among its tokens.
    pub rejected_prediction_tokens: usize,
}

impl UsageJson {
    /// Counts a prompt.
    pub fn add_prompt(&mut self, tokens: usize, cached: usize) {
        self.prompt_tokens += tokens;
        self.prompt_tokens_details.cached_tokens += cached;
        self.total_tokens += tokens;
    }

    /// Counts an answer, without its prompt.
    pub fn add_answer(&mut self, usage: &Usage) {
        self.add_tokens(usage.generated);
        self.add_details(usage);
    }

    /// Counts what kinds of tokens an answer has, but not the tokens themselves.
    pub fn add_details(&mut self, usage: &Usage) {
        let details = &mut self.completion_tokens_details;
        details.reasoning_tokens += usage.reasoning;
        details.accepted_prediction_tokens += usage.drafts.accepted;
        details.rejected_prediction_tokens += usage.drafts.rejected;
    }

    /// Counts tokens of an answer under way.
    pub fn add_tokens(&mut self, generated: usize) {
        self.completion_tokens += generated;
        self.total_tokens += generated;
    }
}
