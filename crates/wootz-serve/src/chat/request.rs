//! What a chat completion can be asked for, beyond the options that every endpoint shares.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::message::{self, Content, Message};
use super::reasoning::{Effort, ReasoningOptions};
use super::tools::{Tool, ToolChoiceJson};
use crate::error::ApiError;
use crate::json::{Parameters, Refusal, merged};
use crate::options::GenerationOptions;
use crate::structured::StructuredOptions;

/// Rivals of each token at most.
pub const TOP_LOGPROBS: u32 = 20;
/// Pairs of metadata, and characters of a key and of a value.
const METADATA: (usize, usize, usize) = (16, 64, 512);

/// A request for a chat completion.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// What is asked of a chat only.
    pub chat: ChatOptions,
    /// How the answer is made.
    pub options: GenerationOptions,
    /// What form the answer has.
    pub structured: StructuredOptions,
}

impl PartialSchema for ChatRequest {
    fn schema() -> RefOr<Schema> {
        merged([ChatOptions::schema(), GenerationOptions::schema(), StructuredOptions::schema()])
    }
}

impl ToSchema for ChatRequest {
    fn name() -> Cow<'static, str> {
        "ChatRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ChatOptions::schemas(schemas);
        GenerationOptions::schemas(schemas);
        StructuredOptions::schemas(schemas);
    }
}

/// What is asked of a chat only.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ChatOptions {
    /// The conversation, oldest message first.
    #[schema(min_items = 1)]
    pub messages: Vec<Message>,
    /// The most tokens of an answer, reasoning included; the newer name of max_tokens.
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<u64>,
    /// Whether each token of the content comes with its log probability.
    pub logprobs: Option<bool>,
    /// How many rivals of each token come with theirs; needs logprobs.
    #[schema(minimum = 0, maximum = 20)]
    pub top_logprobs: Option<u32>,
    /// What the model may call.
    pub tools: Option<Vec<Tool>>,
    /// Whether and what it is to call. Default: auto where there are tools.
    pub tool_choice: Option<ToolChoiceJson>,
    /// Whether it may call several tools in one answer. Default true.
    pub parallel_tool_calls: Option<bool>,
    /// How much the model is to reason: told to templates that know it, else a limit to the tokens of reasoning.
    pub reasoning_effort: Option<Effort>,
    /// The same and more, as OpenRouter has it.
    pub reasoning: Option<ReasoningOptions>,
    /// The most tokens of reasoning; then the answer is made to begin. 0: no reasoning.
    pub thinking_budget: Option<u64>,
    /// Whether the answer shows the reasoning. Default true.
    pub include_reasoning: Option<bool>,
    /// Further variables of the chat template, such as enable_thinking.
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// Documents for templates that show them to the model.
    #[schema(value_type = Option<Vec<Object>>)]
    pub documents: Option<Vec<Map<String, Value>>>,
    /// Whether the prompt ends with the beginning of the assistant's turn. Default true.
    pub add_generation_prompt: Option<bool>,
    /// Whether the answer goes on from the text of the last message, which is the assistant's.
    pub continue_final_message: Option<bool>,
    /// How long the answer is to be, for templates that know it.
    pub verbosity: Option<Verbosity>,
    /// Text that the answer probably repeats. It may make the answer quicker and never changes it. For one answer only.
    pub prediction: Option<PredictedText>,
    /// Up to 16 pairs of text, given back with the answer.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether the answer is kept: this server keeps none, so it can only be false.
    pub store: Option<bool>,
    /// How urgent the request is: `flex` lets others go first, `priority` goes before others.
    pub service_tier: Option<ServiceTier>,
    /// What the answer is made of: text.
    pub modalities: Option<Vec<Modality>>,
    /// Names the end user. It changes nothing in the answer, and is not recorded.
    pub safety_identifier: Option<String>,
    /// Names what requests have in common. The cache finds that by itself.
    pub prompt_cache_key: Option<String>,
    /// How long the prompt is to stay in the cache. The cache is as long as its memory.
    pub prompt_cache_retention: Option<CacheRetention>,
    /// Options of OpenAI's cache: refused.
    #[schema(value_type = Option<Object>)]
    pub prompt_cache_options: Option<Value>,
    /// Sound: refused.
    #[schema(value_type = Option<Object>)]
    pub audio: Option<Value>,
    /// The API before tools: refused.
    #[schema(value_type = Option<Vec<Object>>)]
    pub functions: Option<Value>,
    /// The API before tools: refused.
    #[schema(value_type = Option<Object>)]
    pub function_call: Option<Value>,
    /// A search of the web: refused.
    #[schema(value_type = Option<Object>)]
    pub web_search_options: Option<Value>,
    /// A judgement of text: refused.
    #[schema(value_type = Option<Object>)]
    pub moderation: Option<Value>,
}

/// How long an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verbosity {
    /// Short.
    Low,
    /// As usual.
    Medium,
    /// Long.
    High,
}

/// Text that an answer probably repeats.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PredictedText {
    /// This text.
    Content {
        /// The text.
        content: Content,
    },
}

/// How urgent a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// As usual.
    Auto,
    /// As usual.
    Default,
    /// Others first.
    Flex,
    /// As usual.
    Scale,
    /// Before others.
    Priority,
    /// Before others.
    Fast,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Text.
    Text,
    /// Sound: refused.
    Audio,
}

/// How long a prompt is to stay in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub enum CacheRetention {
    /// As long as there is room.
    #[serde(rename = "in_memory", alias = "in-memory")]
    InMemory,
    /// A day.
    #[serde(rename = "24h")]
    Day,
}

/// What the prompt ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptEnd {
    /// The beginning of the assistant's turn.
    AssistantTurn,
    /// The end of the last message.
    LastMessage,
    /// The text of the last message, to go on from.
    WithinLastMessage,
}

impl ChatRequest {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// What is wrong with it, or not possible here, by name.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        static PARAMETERS: LazyLock<Parameters> =
            LazyLock::new(|| Parameters::default().with::<ChatRequest>());
        let body = PARAMETERS.read(body)?;
        let mut request = Self { chat: body.part()?, options: body.part()?, structured: body.part()? };
        request.chat.refuse_unsupported()?;
        message::check(&request.chat.messages)?;
        request.chat.check()?;
        request.settle_max_tokens()?;
        Ok(request)
    }

    /// Two names for one limit.
    fn settle_max_tokens(&mut self) -> Result<(), Refusal> {
        match (self.options.max_tokens, self.chat.max_completion_tokens) {
            (Some(one), Some(other)) if one != other => {
                let message =
                    "max_tokens and max_completion_tokens are the same limit, and were given two values";
                return Err(Refusal::of("max_completion_tokens", message));
            }
            (_, Some(0)) => {
                let message = "max_completion_tokens is 0; it has to be at least 1";
                return Err(Refusal::of("max_completion_tokens", message));
            }
            (one, other) => self.options.max_tokens = one.or(other),
        }
        Ok(())
    }
}

impl ChatOptions {
    /// What the API documents and this server does not do.
    fn refuse_unsupported(&self) -> Result<(), ApiError> {
        let refused = [
            ("audio", self.audio.is_some(), "this server makes no sound: answers are text"),
            (
                "functions",
                self.functions.is_some(),
                "functions was replaced by tools, which is possible here",
            ),
            (
                "function_call",
                self.function_call.is_some(),
                "function_call was replaced by tool_choice, which is possible here",
            ),
            (
                "web_search_options",
                self.web_search_options.is_some(),
                "this server does not search the web: give the model a tool that does",
            ),
            ("moderation", self.moderation.is_some(), "this server does not judge texts"),
            (
                "prompt_cache_options",
                self.prompt_cache_options.is_some(),
                "the prompt cache here has no options: every prompt is cached while there is room",
            ),
            (
                "store",
                self.store == Some(true),
                "this server keeps no answers: leave store out or set it to false",
            ),
            (
                "modalities",
                self.modalities.as_ref().is_some_and(|kinds| kinds.contains(&Modality::Audio)),
                "answers are text: possible is [\"text\"]",
            ),
        ];
        match refused.iter().find(|(_, given, _)| *given) {
            None => Ok(()),
            Some((param, _, reason)) => {
                Err(ApiError::unsupported(*param, format!("{param} is not possible here: {reason}")))
            }
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        if let Some(found) = self.top_logprobs {
            if found > TOP_LOGPROBS {
                let message = format!("top_logprobs is {found}; possible are 0 to {TOP_LOGPROBS}");
                return Err(Refusal::of("top_logprobs", message));
            }
            if found > 0 && self.logprobs != Some(true) {
                let message = "top_logprobs is possible with \"logprobs\": true only";
                return Err(Refusal::of("top_logprobs", message));
            }
        }
        let (pairs, key_length, value_length) = METADATA;
        let metadata = self.metadata.iter().flatten();
        let too_long = |(key, value): (&String, &String)| {
            key.chars().count() > key_length || value.chars().count() > value_length
        };
        if metadata.clone().count() > pairs || metadata.clone().any(too_long) {
            let message = format!(
                "metadata may hold {pairs} pairs, with keys of {key_length} and values of {value_length} characters"
            );
            return Err(Refusal::of("metadata", message));
        }
        self.prompt_end().map(|_| ())
    }

    /// What the prompt ends with.
    ///
    /// # Errors
    /// Two endings at once, or nothing to go on from.
    pub fn prompt_end(&self) -> Result<PromptEnd, Refusal> {
        match (self.continue_final_message.unwrap_or(false), self.add_generation_prompt) {
            (false, Some(false)) => Ok(PromptEnd::LastMessage),
            (false, _) => Ok(PromptEnd::AssistantTurn),
            (true, Some(true)) => Err(Refusal::of(
                "add_generation_prompt",
                "add_generation_prompt begins a new turn and continue_final_message goes on with the last: choose one",
            )),
            (true, _) => match self.messages.last() {
                Some(Message::Assistant(answered)) if answered.content.is_some() => {
                    Ok(PromptEnd::WithinLastMessage)
                }
                _ => Err(Refusal::of(
                    "continue_final_message",
                    "continue_final_message needs a last message of the assistant that has content",
                )),
            },
        }
    }
}

impl ServiceTier {
    /// What is added to the request's priority, where higher is earlier.
    pub fn priority(self) -> i32 {
        match self {
            ServiceTier::Flex => -1,
            ServiceTier::Auto | ServiceTier::Default | ServiceTier::Scale => 0,
            ServiceTier::Priority | ServiceTier::Fast => 1,
        }
    }

    /// The tier that was used.
    #[must_use]
    pub fn used(self) -> Self {
        match self {
            ServiceTier::Auto | ServiceTier::Scale => ServiceTier::Default,
            used => used,
        }
    }
}
