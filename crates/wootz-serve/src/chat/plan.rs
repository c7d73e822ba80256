//! From a request's body to what the engine is asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;
use wootz_chat::{OutputParser, ParserSettings, ReasoningOutput, Tools};
use wootz_engine::{EngineError, Guide, Logprobs, ReasoningGuide, Tenant};
use wootz_grammar::{Grammar, GrammarSource};
use wootz_weights::chat_template::Clock;
use wootz_weights::tokenizer::{AddBos, Special, SpecialText, TextStart};

use super::answer::{Answer, AnswerRules};
use super::message::Message;
use super::model::Conversation;
use super::reasoning::ReasoningPlan;
use super::reply::{ChatChunk, ChatCompletion, Choice, ChunkChoice};
use super::request::{ChatOptions, ChatRequest, PromptEnd, ServiceTier, Verbosity};
use super::tools::ToolPlan;
use crate::ServedModel;
use crate::error::ApiError;
use crate::generation::{Generation, GenerationRequest};
use crate::json::Refusal;
use crate::options::GenerationSettings;
use crate::served_model::now;
use crate::usage::UsageJson;

/// What made an answer, for those who compare answers of the same seed.
const FINGERPRINT: &str = concat!("wootz-", env!("CARGO_PKG_VERSION"));

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// How answers are made.
    pub settings: GenerationSettings,
    /// What steers them.
    pub guide: Guide,
    /// Rivals wanted with each token.
    pub logprobs: Option<usize>,
    /// What the answer is to the prompt.
    pub start: TextStart,
    /// How answers are cut.
    pub rules: AnswerRules,
    /// How answers are taken apart.
    pub parser: ParserSettings,
    /// What all parts of the response have in common.
    pub head: Head,
}

/// What all parts of one response have in common.
#[derive(Debug, Clone)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
    tier: Option<ServiceTier>,
    metadata: Option<BTreeMap<String, String>>,
}

/// A request that the engine has taken.
#[derive(Debug)]
pub struct Started {
    /// Its text, as it comes.
    pub generation: Generation,
    /// Its answers, of which nothing is there yet.
    pub answers: Vec<Answer>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Rivals wanted with each token.
    pub logprobs: Option<usize>,
}

/// Reads a body.
///
/// # Errors
/// Whatever is wrong with it.
pub fn plan(model: &ServedModel, body: &[u8]) -> Result<Plan, ApiError> {
    let ChatRequest { chat, options, structured } = ChatRequest::read(body)?;
    let mut settings = options.settings(model)?;
    if let Some(tier) = chat.service_tier {
        settings.scheduling.priority = settings.scheduling.priority.saturating_add(tier.priority());
    }
    let tools = ToolPlan::new(chat.tools.as_deref(), chat.tool_choice.as_ref(), chat.parallel_tool_calls)?;
    let reasoning = ReasoningPlan::new(&chat)?;
    let end = chat.prompt_end()?;
    let text = prompt_text(model, &chat, &tools, reasoning, end)?;
    let prompt = model.tokenizer.encode(&text, Special::Parse, AddBos::IfMissing)?;
    check_length(&prompt, model)?;
    let opened = model.chat.format.opened_by(&text);
    let grammar = grammar(model, structured.grammar()?, &tools)?;
    let reasoning_guide = reasoning_guide(model, opened, reasoning)?;
    let known =
        if tools.definitions.is_empty() { Tools::None } else { Tools::Known(tools.definitions.into()) };
    let rules = AnswerRules {
        stops: std::mem::take(&mut settings.stops),
        stop_text: settings.stop_text,
        shown: reasoning.shown,
    };
    Ok(Plan {
        prompt,
        settings,
        guide: Guide { reasoning: reasoning_guide, grammar },
        logprobs: chat.logprobs.filter(|wanted| *wanted).map(|_| chat.top_logprobs.unwrap_or(0) as usize),
        start: if end == PromptEnd::AssistantTurn { TextStart::OwnText } else { TextStart::Continuation },
        rules,
        parser: ParserSettings { tools: known, opened, reasoning: ReasoningOutput::Separate },
        head: Head::new(&model.name, &chat),
    })
}

/// Template variables that the request's own fields decide.
const RESERVED_VARIABLES: [&str; 5] =
    ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"];

/// The prompt, by the model's template.
fn prompt_text(
    model: &ServedModel,
    chat: &ChatOptions,
    tools: &ToolPlan,
    reasoning: ReasoningPlan,
    end: PromptEnd,
) -> Result<String, ApiError> {
    let format = &model.chat.format;
    let messages: Vec<Value> = chat.messages.iter().map(Message::to_value).collect();
    let messages = format.prepare(&messages, &tools.shown);
    let shown = format.prepare_tools(&tools.shown);
    let mut variables = format.variables(&shown, &Clock::System.strftime("%B %d, %Y %H:%M:%S"));
    let given = chat.chat_template_kwargs.clone().unwrap_or_default();
    if let Some(name) = RESERVED_VARIABLES.iter().find(|name| given.contains_key(**name)) {
        let message = format!("`{name}` is what the request itself gives the template: set it there");
        return Err(ApiError::invalid("chat_template_kwargs", message));
    }
    variables.extend(given);
    reasoning.set_variables(model.chat.template(), &mut variables);
    set_verbosity(model, chat, &mut variables)?;
    if let Some(documents) = &chat.documents {
        variables.insert("documents".to_owned(), json!(documents));
    }
    model.chat.prompt(Conversation { messages: &messages, tools: &shown, end, variables: &variables })
}

fn set_verbosity(
    model: &ServedModel,
    chat: &ChatOptions,
    variables: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    match chat.verbosity {
        Some(verbosity) if model.chat.template().contains("verbosity") => {
            variables.entry("verbosity").or_insert(json!(verbosity));
            Ok(())
        }
        // As usual is what every model does.
        None | Some(Verbosity::Medium) => Ok(()),
        Some(_) => Err(Refusal::of(
            "verbosity",
            "this model's chat template knows no verbosity: say in a message how long the answer is to be",
        )),
    }
}

fn check_length(prompt: &[u32], model: &ServedModel) -> Result<(), ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::from(EngineError::EmptyPrompt).or_param("messages"));
    }
    if prompt.len() >= model.context {
        let error = EngineError::ContextFull { prompt: prompt.len(), context: model.context };
        return Err(ApiError::from(error).or_param("messages"));
    }
    Ok(())
}

/// The grammar of the answer: of the form that was asked for, or of the calls that it must hold.
fn grammar(
    model: &ServedModel,
    form: Option<(&'static str, GrammarSource)>,
    tools: &ToolPlan,
) -> Result<Option<Grammar>, ApiError> {
    let calls = model.chat.format.tool_grammar(&tools.definitions, &tools.choice, tools.parallel);
    let (param, source) = match (form, calls) {
        (Some((param, _)), _) if !tools.definitions.is_empty() => {
            let message = format!(
                "{param} is not possible together with tools that the model may call: set tool_choice to \"none\", or \
                 ask for the form after the tools have been called"
            );
            return Err(ApiError::invalid(param, message));
        }
        (Some(form), _) => form,
        (None, Some(source)) => ("tools", source),
        (None, None) if tools.is_enforced() => {
            let message = "this model's chat template knows no tools, so no call can be enforced";
            return Err(ApiError::unsupported("tool_choice", message));
        }
        (None, None) => return Ok(None),
    };
    model.chat.compile((param, source)).map(Some)
}

/// Where reasoning begins and ends in the answer, and how long it may be.
fn reasoning_guide(
    model: &ServedModel,
    opened: bool,
    reasoning: ReasoningPlan,
) -> Result<Option<ReasoningGuide>, ApiError> {
    let Some(markers) = model.chat.format.reasoning() else { return Ok(None) };
    let tokens = |text: &str| model.tokenizer.encode(text, Special::Parse, AddBos::Never);
    Ok(Some(ReasoningGuide {
        opened,
        begins: tokens(&markers.begin)?,
        ends: tokens(&markers.end)?,
        budget: reasoning.budget(model.chat.template()),
        closing: tokens(&markers.forced_end)?,
    }))
}

impl Plan {
    /// Hands the request to the engine.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn start(self, model: &ServedModel, tenant: Tenant) -> Result<(Head, Started), ApiError> {
        let count = self.settings.answers.count();
        let parser = || -> OutputParser { model.chat.format.parser(self.parser.clone()) };
        let answers = (0..count).map(|_| Answer::new(parser(), self.rules.clone())).collect();
        let prompt_tokens = self.prompt.len();
        // What marks reasoning and calls may be special tokens, which the parser has to see.
        let marked = model.chat.format.needs_special_tokens() || matches!(self.parser.tools, Tools::Known(_));
        let special = if marked { SpecialText::Show } else { self.settings.special };
        let generation = Generation::start(
            model,
            GenerationRequest {
                prompt: self.prompt,
                settings: self.settings,
                guide: self.guide,
                logprobs: self.logprobs.map_or(Logprobs::None, Logprobs::Top),
                prompt_logprobs: None,
                special,
                start: self.start,
                tenant,
            },
        )?;
        Ok((self.head, Started { generation, answers, prompt_tokens, logprobs: self.logprobs }))
    }
}

impl Head {
    fn new(model: &str, chat: &ChatOptions) -> Self {
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created: now(),
            model: model.to_owned(),
            tier: chat.service_tier.map(ServiceTier::used),
            metadata: chat.metadata.clone(),
        }
    }

    /// A whole response.
    pub fn completion(self, choices: Vec<Choice>, usage: UsageJson) -> ChatCompletion {
        ChatCompletion {
            id: self.id,
            object: "chat.completion",
            created: self.created,
            model: self.model,
            choices,
            usage,
            system_fingerprint: FINGERPRINT,
            service_tier: self.tier,
            metadata: self.metadata,
        }
    }

    /// A part of a response.
    pub fn chunk(&self, choices: Vec<ChunkChoice>, usage: Option<Option<UsageJson>>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: FINGERPRINT,
            service_tier: self.tier,
            choices,
            usage,
        }
    }
}
