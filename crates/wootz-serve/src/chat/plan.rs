//! From a request's body to what the engine is asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;
use wootz_chat::{AnswerForm, AnswerPlace, OutputParser, ParserSettings, ReasoningOutput, Strictness, Tools};
use wootz_engine::{Answers, EngineError, Guide, Logprobs, Prediction, Tenant};
use wootz_grammar::{Grammar, GrammarSource};
use wootz_weights::chat_template::Clock;
use wootz_weights::tokenizer::{AddBos, Special, SpecialText, TextStart};

use super::answer::{Answer, AnswerRules};
use super::guide::{FormAfter, ReasoningBounds, reasoning_guide};
use super::message::Message;
use super::model::Conversation;
use super::reasoning::ReasoningPlan;
use super::reply::{ChatChunk, ChatCompletion, Choice, ChunkChoice};
use super::request::{ChatOptions, ChatRequest, PredictedText, PromptEnd, ServiceTier, Verbosity};
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
    /// What the answer will probably be.
    pub prediction: Prediction,
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
    let place = place(model, &text, end);
    let grammar = grammar(model, structured.grammar()?, &tools, place)?;
    let opened = place == AnswerPlace::Reasoning;
    let bounds = ReasoningBounds {
        place,
        budget: reasoning.budget(model.chat.template()),
        form: FormAfter::of(grammar.as_ref()),
    };
    let reasoning_guide = reasoning_guide(&model.chat.format, &model.tokenizer, bounds)?;
    let prediction = prediction(model, &chat, &settings)?;
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
        prediction,
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

/// The tokens of the text that the answer probably repeats. What a reasoning model thinks before is not in it: the engine
/// looks for the place where the answer goes on in it.
fn prediction(
    model: &ServedModel,
    chat: &ChatOptions,
    settings: &GenerationSettings,
) -> Result<Prediction, ApiError> {
    let Some(PredictedText::Content { content }) = &chat.prediction else { return Ok(Prediction::default()) };
    if !matches!(settings.answers, Answers::Sampled(count) if count.get() == 1) {
        let message = "a prediction is for one answer: set n to 1, and leave best_of and use_beam_search out";
        return Err(ApiError::unsupported("prediction", message));
    }
    content.check("prediction")?;
    let tokens = model.tokenizer.encode(&content.text(), Special::Plain, AddBos::Never)?;
    Ok(Prediction::new(tokens))
}

/// Where in the answer the prompt ends.
fn place(model: &ServedModel, text: &str, end: PromptEnd) -> AnswerPlace {
    match model.chat.format.place(text) {
        AnswerPlace::Turn if end == PromptEnd::WithinLastMessage => AnswerPlace::Content,
        place => place,
    }
}

/// The grammar of the answer: of the form that was asked for, and of the calls that it may or must hold.
fn grammar(
    model: &ServedModel,
    form: Option<(&'static str, GrammarSource)>,
    tools: &ToolPlan,
    place: AnswerPlace,
) -> Result<Option<Grammar>, ApiError> {
    let wanted = AnswerForm {
        tools: &tools.definitions,
        choice: &tools.choice,
        parallel: tools.parallel,
        content: form.as_ref().map(|(_, source)| source),
        place,
    };
    let param = form.as_ref().map_or("tools", |(param, _)| *param);
    let source = model.chat.format.answer_grammar(&wanted).map_err(|_| unmarked_calls(tools))?;
    // What is wrong with the form, and that it allows no text at all, shows without what stands around it. It has to be
    // right even where no answer can have it, since a call is required.
    if let Some(form) = form.filter(|(_, own)| source.as_ref() != Some(own)) {
        model.chat.compile(form)?;
    }
    let param = if tools.definitions.is_empty() { param } else { "tools" };
    source.map(|source| model.chat.compile((param, source))).transpose()
}

fn unmarked_calls(tools: &ToolPlan) -> ApiError {
    let strict = tools.definitions.iter().find(|tool| tool.strictness == Strictness::Schema);
    let name = strict.map_or("", |tool| tool.name.as_str());
    let message = format!(
        "the function {name:?} is strict, but nothing marks the beginning of this model's calls, so that their \
         arguments can be held to a schema only where a call is sure: set tool_choice to \"required\" or to a function, \
         or leave strict out"
    );
    ApiError::unsupported("tools", message)
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
                prediction: self.prediction,
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
