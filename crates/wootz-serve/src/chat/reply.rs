//! Chat completions as they are sent: whole, or in chunks.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::message::{CalledFunction, FunctionKind};
use super::request::ServiceTier;
use crate::token_text::{Rival, TokenText, finite};
use crate::usage::UsageJson;

/// A chat completion.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// Names it.
    pub id: String,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The model.
    pub model: String,
    /// The answers, as many as were asked for.
    pub choices: Vec<Choice>,
    /// Counts of tokens.
    pub usage: UsageJson,
    /// What made it: the same seed gives the same answer while this stays the same.
    pub system_fingerprint: &'static str,
    /// How urgent it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// The request's pairs of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// One answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Choice {
    /// Its place among the answers.
    pub index: usize,
    /// What the model said.
    pub message: AnswerMessage,
    /// Log probabilities, if they were asked for.
    pub logprobs: Option<ChoiceLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishWord,
}

/// What the model said.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct AnswerMessage {
    /// Always `assistant`.
    pub role: AssistantRole,
    /// The answer; `null` where it only called tools.
    pub content: Option<String>,
    /// Always `null`: a model here says in its content what it does not want to answer.
    pub refusal: Option<String>,
    /// The reasoning before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The same under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The tools that it called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub tool_calls: Vec<CompleteCall>,
}

/// The word `assistant`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssistantRole {
    /// The model.
    #[default]
    Assistant,
}

/// A call of a tool.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompleteCall {
    /// Names the call.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: FunctionKind,
    /// What is called.
    pub function: CalledFunction,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishWord {
    /// The model ended it, or a stop string did.
    Stop,
    /// As many tokens as were asked for, or as the context holds.
    Length,
    /// It waits for the results of tools.
    ToolCalls,
}

/// Log probabilities of an answer's tokens.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChoiceLogprobs {
    /// Those of the content, in order.
    pub content: Vec<TokenLogprobJson>,
    /// Always `null`.
    pub refusal: Option<Vec<TokenLogprobJson>>,
}

/// A token with its log probability.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenLogprobJson {
    /// Its text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes: a token may be a part of a character.
    pub bytes: Vec<u8>,
    /// The most likely tokens in its place, most likely first.
    pub top_logprobs: Vec<RivalJson>,
}

/// A token that could have been there instead.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RivalJson {
    /// Its text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A piece of a chat completion.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChunk {
    /// Names the completion; the same in all its pieces.
    pub id: String,
    /// Always `chat.completion.chunk`.
    pub object: &'static str,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The model.
    pub model: String,
    /// What made it.
    pub system_fingerprint: &'static str,
    /// How urgent it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// What is new: of one answer, or nothing in the chunk with the counts of tokens.
    pub choices: Vec<ChunkChoice>,
    /// Counts of tokens, where they were asked for; `null` until the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<UsageJson>)]
    pub usage: Option<Option<UsageJson>>,
}

/// What is new of an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkChoice {
    /// Which answer.
    pub index: usize,
    /// What is new.
    pub delta: ChunkDelta,
    /// Log probabilities of new tokens, if they were asked for.
    pub logprobs: Option<ChoiceLogprobs>,
    /// Why it ended, when it has.
    pub finish_reason: Option<FinishWord>,
}

/// New parts of a message.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ChunkDelta {
    /// Who speaks; in the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<AssistantRole>,
    /// Text of the answer, to be appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Text of the reasoning, to be appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The same under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Parts of calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub tool_calls: Vec<CallDelta>,
}

/// A part of a call: its name first, then its arguments in pieces.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CallDelta {
    /// Which call of the answer.
    pub index: usize,
    /// Names it; in its first part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Always `function`; in its first part.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FunctionKind>,
    /// What is called.
    pub function: FunctionDelta,
}

/// A part of a called function.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct FunctionDelta {
    /// Its name; in its first part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Text of the arguments, to be appended.
    pub arguments: String,
}

impl ChoiceLogprobs {
    /// Of some tokens.
    pub fn new(tokens: &[TokenText]) -> Self {
        Self { content: tokens.iter().map(TokenLogprobJson::new).collect(), refusal: None }
    }
}

impl TokenLogprobJson {
    fn new(token: &TokenText) -> Self {
        Self {
            token: String::from_utf8_lossy(&token.bytes).into_owned(),
            logprob: finite(token.logprob.unwrap_or(f32::NEG_INFINITY)),
            bytes: token.bytes.clone(),
            top_logprobs: token.top.iter().map(RivalJson::new).collect(),
        }
    }
}

impl RivalJson {
    fn new(rival: &Rival) -> Self {
        Self {
            token: String::from_utf8_lossy(&rival.bytes).into_owned(),
            logprob: finite(rival.logprob),
            bytes: rival.bytes.clone(),
        }
    }
}
