//! Chat templates: from messages to the text that a model was trained on.
//!
//! A template is a Jinja program that comes with the model. It is rendered as Python's Jinja2 renders it under
//! Transformers' `apply_chat_template`: same whitespace rules, `tojson` as `json.dumps`, `raise_exception`,
//! `strftime_now`, loop controls, Python's methods on strings and dictionaries, `{% generation %}`.

mod environment;
mod fallback;
mod generation;
mod json;
mod lists;
mod operators;
mod source;
mod strftime;

use std::fmt;

use minijinja::{AutoEscape, Environment, Value, machinery};
use serde_json::json;

use generation::without_generation_tags;

use crate::error::WeightsError;

pub use fallback::TemplateOrigin;
pub use strftime::Clock;

/// The name of the template that is used when nothing asks for another.
const DEFAULT: &str = "default";
/// The name of the template that Transformers takes when there are tools.
const TOOL_USE: &str = "tool_use";

/// Why a conversation could not be turned into a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template could not be read from the checkpoint.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The template called `raise_exception`: it does not allow this conversation.
    #[error("the chat template refuses this conversation: {0}")]
    Refused(String),
    /// The template does not parse.
    #[error("the chat template {name} does not parse: {message}")]
    Syntax {
        /// Which template: "default", "tool_use".
        name: String,
        /// Where and what.
        message: String,
    },
    /// The template failed on this conversation.
    #[error("the chat template {name} failed: {message}")]
    Failed {
        /// Which template: "default", "tool_use".
        name: String,
        /// Where and what.
        message: String,
    },
    /// The template ran for too long, nested too deeply or wrote too much.
    #[error("the chat template {name} was stopped: {message}")]
    Runaway {
        /// Which template: "default", "tool_use".
        name: String,
        /// Which limit it met.
        message: String,
    },
    /// There is no template of the name that was asked for.
    #[error("the model has no chat template named {name}; it has {known}")]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}

/// What a template is given.
#[derive(Debug, Clone, Default)]
pub struct ChatInput<'a> {
    /// The conversation: objects with `role`, `content` and what else the model knows (`tool_calls`, `name`,
    /// `reasoning_content`, …), as in the OpenAI chat API. [`message`] makes a plain one.
    pub messages: &'a [serde_json::Value],
    /// Function definitions, as in the OpenAI chat API; `None` is what a model without tools sees.
    pub tools: Option<&'a [serde_json::Value]>,
    /// How the rendered text ends.
    pub ending: Ending,
    /// The text of the token that begins a sequence; empty if there is none.
    pub bos_token: &'a str,
    /// The text of the token that ends a sequence; empty if there is none.
    pub eos_token: &'a str,
    /// Further variables (`enable_thinking`, `documents`, …). They override the others, as they do in Transformers.
    pub variables: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

/// How the rendered text ends: `add_generation_prompt` in the templates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// With what begins the assistant's turn, for generation.
    #[default]
    AssistantTurn,
    /// After the last message.
    LastMessage,
}

/// A plain message of [`ChatInput::messages`].
pub fn message(role: &str, content: &str) -> serde_json::Value {
    json!({"role": role, "content": content})
}

/// The chat template, or the named templates, of a model, ready to render.
pub struct ChatTemplate {
    /// Name and source as the engine reads it; the default first where there is one.
    templates: Vec<(String, String)>,
    clock: Clock,
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// A template from its source.
    pub fn new(source: impl Into<String>) -> Result<ChatTemplate, TemplateError> {
        ChatTemplate::with_names(vec![(DEFAULT.to_owned(), source.into())])
    }

    /// Several templates, each with its name; "default" is rendered unless there are tools and a "tool_use".
    pub fn with_names(templates: Vec<(String, String)>) -> Result<ChatTemplate, TemplateError> {
        let clock = Clock::System;
        let mut longest_literal = 0;
        let mut readable = Vec::new();
        for (name, source) in templates {
            let source = without_generation_tags(&source);
            let source = lists::with_changing_lists(&source).into_owned();
            let template = environment::compile(&name, &source)
                .map_err(|error| TemplateError::Syntax { name: name.clone(), message: one_line(&error) })?;
            longest_literal = operators::longest_literal(&template).max(longest_literal);
            readable.push((name, source));
        }
        let environment = environment::environment(clock, longest_literal);
        Ok(ChatTemplate { templates: readable, clock, environment })
    }

    /// The same templates, with `strftime_now` on another clock.
    pub fn with_clock(mut self, clock: Clock) -> ChatTemplate {
        self.clock = clock;
        environment::set_clock(&mut self.environment, clock);
        self
    }

    /// The names of the templates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().map(|(name, _)| name.as_str())
    }

    /// The source of the default template (the first, where none has that name).
    pub fn source(&self) -> &str {
        let default = self.templates.iter().find(|(name, _)| name == DEFAULT).or(self.templates.first());
        default.map_or("", |(_, source)| source)
    }

    /// The text of a conversation. With tools, the template named "tool_use" is taken where there is one.
    ///
    /// # Errors
    /// What the template raised, a failure inside it, or the limit that it met.
    pub fn render(&self, input: &ChatInput) -> Result<String, TemplateError> {
        let has = |wanted: &str| self.names().any(|name| name == wanted);
        let name = match self.templates.first() {
            _ if input.tools.is_some() && has(TOOL_USE) => TOOL_USE,
            _ if has(DEFAULT) => DEFAULT,
            Some((first, _)) => first,
            None => DEFAULT,
        };
        self.render_named(name, input)
    }

    /// The text of a conversation by the template of the given name ("rag", "tool_use", …).
    ///
    /// # Errors
    /// As [`Self::render`], and a name that is not there.
    pub fn render_named(&self, name: &str, input: &ChatInput) -> Result<String, TemplateError> {
        let (name, source) = self.templates.iter().find(|(known, _)| known == name).ok_or_else(|| {
            TemplateError::UnknownName {
                name: name.to_owned(),
                known: self.names().collect::<Vec<_>>().join(", "),
            }
        })?;
        let mut text = String::new();
        let template = environment::compile(name, source).map_err(|error| explain(name, &error))?;
        let mut out = machinery::make_string_output(&mut text);
        let (program, blocks) = (&template.instructions, &template.blocks);
        machinery::eval(&self.environment, program, context(input), blocks, &mut out, AutoEscape::None)
            .map_err(|error| explain(name, &error))?;
        drop(out);
        Ok(text)
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChatTemplate")
            .field("templates", &self.names().collect::<Vec<_>>())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// The variables of a template, in the order in which Transformers lets one override the other.
fn context(input: &ChatInput) -> Value {
    let mut variables = vec![
        ("messages".to_owned(), input.messages.iter().map(template_value).collect()),
        (
            "tools".to_owned(),
            input.tools.map_or_else(|| Value::from(()), |tools| tools.iter().map(template_value).collect()),
        ),
        ("documents".to_owned(), Value::from(())),
        ("add_generation_prompt".to_owned(), Value::from(input.ending == Ending::AssistantTurn)),
        ("bos_token".to_owned(), Value::from(input.bos_token)),
        ("eos_token".to_owned(), Value::from(input.eos_token)),
    ];
    for (name, value) in input.variables.into_iter().flatten() {
        variables.push((name.clone(), template_value(value)));
    }
    Value::from_pairs(variables)
}

/// A JSON value as the template engine holds it; the order of keys is kept.
fn template_value(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Value::from(value),
            (_, Some(value)) => Value::from(value),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(template_value).collect(),
        Json::Object(entries) => {
            Value::from_pairs(entries.iter().map(|(key, value)| (key.as_str(), template_value(value))))
        }
    }
}

fn explain(name: &str, error: &minijinja::Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(raised) = current.downcast_ref::<environment::Raised>() {
            return TemplateError::Refused(raised.0.clone());
        }
        cause = current.source();
    }
    let (name, message) = (name.to_owned(), one_line(error));
    let stopped =
        ["recursion limit exceeded", operators::TOO_MUCH].iter().any(|limit| message.contains(limit));
    if error.kind() == minijinja::ErrorKind::OutOfFuel || stopped {
        TemplateError::Runaway { name, message }
    } else {
        TemplateError::Failed { name, message }
    }
}

/// The engine's message with the place, and the causes after it.
fn one_line(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}
