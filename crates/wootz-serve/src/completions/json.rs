//! What goes over the wire.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::plan::TokenNames;
use crate::json::merged;
use crate::options::GenerationOptions;
use crate::served_model::now;
use crate::structured::StructuredOptions;
use crate::token_text::{TokenText, finite};
use crate::usage::UsageJson;

/// The options of plain completions alone.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct CompletionOptions {
    /// What to go on from: a text, token ids, or a list of texts and lists of token ids, each of which is answered.
    pub prompt: Option<Prompt>,
    /// What comes after the answer, for models that can fill in the middle.
    pub suffix: Option<String>,
    /// Whether the prompt is a part of the answer. With `max_tokens` 0, nothing else is.
    pub echo: Option<bool>,
    /// How many answers are made, of which the `n` likeliest (by mean log probability) are given. Default `n`.
    #[schema(minimum = 1, maximum = 128)]
    pub best_of: Option<u32>,
    /// Log probabilities of each token, and of so many most likely tokens in its place.
    #[schema(minimum = 0, maximum = 100)]
    pub logprobs: Option<u32>,
    /// Whether the tokens that the model was trained to begin texts with are added to a prompt that is text. Default true.
    pub add_special_tokens: Option<bool>,
    /// Whether log probabilities name tokens by id, as `token_id:5`, so that no two have one name.
    pub return_tokens_as_token_ids: Option<bool>,
    /// The most tokens of an answer, as llama.cpp calls it; -1 is as many as the context holds.
    #[schema(minimum = -1)]
    pub n_predict: Option<i64>,
}

/// A request for plain completions.
#[derive(Debug, Clone)]
pub struct CompletionRequest;

impl PartialSchema for CompletionRequest {
    fn schema() -> RefOr<Schema> {
        merged([CompletionOptions::schema(), GenerationOptions::schema(), StructuredOptions::schema()])
    }
}

impl ToSchema for CompletionRequest {
    fn name() -> Cow<'static, str> {
        "CompletionRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CompletionOptions::schemas(schemas);
        GenerationOptions::schemas(schemas);
        StructuredOptions::schemas(schemas);
    }
}

/// What to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "a prompt is a text, a list of token ids, or a list of texts and lists of token ids"
)]
pub enum Prompt {
    /// A text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
    /// Several.
    Many(Vec<PromptItem>),
}

/// One of several prompts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PromptItem {
    /// A text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// An answer, whole or in part.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Completion {
    /// Names the request's answer.
    pub id: String,
    /// Always `text_completion`.
    pub object: &'static str,
    /// In seconds since 1970.
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// The answers.
    pub choices: Vec<CompletionChoice>,
    /// Counts of tokens. Absent in streams that were not asked for them, null in a stream before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<UsageJson>>,
}

/// One answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// Its place: that of its prompt times `n`, plus its own.
    pub index: usize,
    /// Its text.
    pub text: String,
    /// Log probabilities, if they were asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`; null in a stream before the end.
    pub finish_reason: Option<&'static str>,
}

/// Log probabilities: four lists with an entry a token.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// Tokens as text. One that is no whole character is `bytes:\xe2\x82`.
    pub tokens: Vec<String>,
    /// Their natural log probabilities; null for a prompt's first token.
    pub token_logprobs: Vec<Option<f32>>,
    /// The most likely tokens in their place, and the token itself.
    pub top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Where in the text each begins, in characters.
    pub text_offset: Vec<usize>,
}

/// What all parts of one response have in common.
#[derive(Debug, Clone)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    /// A new response.
    pub fn new(model: &str) -> Self {
        Self { id: format!("cmpl-{}", Uuid::new_v4().simple()), created: now(), model: model.to_owned() }
    }

    /// A response, or a part of one.
    pub fn completion(&self, choices: Vec<CompletionChoice>, usage: Option<Option<UsageJson>>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }
}

/// A number whose digits are those of the narrow one.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

impl CompletionLogprobs {
    /// Those of some tokens, whose text begins `shift` characters into the whole.
    pub fn new(tokens: &[TokenText], shift: usize, names: TokenNames) -> Self {
        let mut lists = Self::default();
        for token in tokens {
            lists.tokens.push(names.name(token.token, &token.bytes));
            lists.token_logprobs.push(token.logprob.map(finite));
            lists.top_logprobs.push(token.logprob.map(|own| {
                let rivals = token.top.iter().map(|rival| (rival.token, &rival.bytes, rival.logprob));
                let all = rivals.chain([(token.token, &token.bytes, own)]);
                all.map(|(id, bytes, logprob)| (names.name(id, bytes), decimal(finite(logprob)).into()))
                    .collect()
            }));
            lists.text_offset.push(shift + token.offset);
        }
        lists
    }

    /// Puts others after these.
    pub fn append(&mut self, mut others: Self) {
        self.tokens.append(&mut others.tokens);
        self.token_logprobs.append(&mut others.token_logprobs);
        self.top_logprobs.append(&mut others.top_logprobs);
        self.text_offset.append(&mut others.text_offset);
    }
}
