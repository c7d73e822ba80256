//! Chat templates: from messages to the text that a model was trained on.
//!
//! A template is a Jinja program that comes with the model. It is rendered as Python's Jinja2 renders it under
//! Transformers' `apply_chat_template`: same whitespace rules, `tojson` as `json.dumps`, `raise_exception`,
//! `strftime_now`, loop controls, Python's methods on strings and dictionaries, `{% generation %}`.

mod environment;
mod fallback;
mod generation;
mod json;
mod source;
mod strftime;

use std::fmt;
use std::io::{self, Write};

use minijinja::{Environment, Value};
use serde_json::json;

use crate::error::WeightsError;

pub use fallback::TemplateOrigin;
pub use strftime::Clock;

/// The longest prompt that a template may write, in bytes.
const MAX_RENDERED_BYTES: usize = 256 << 20;
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
    /// Name and source; the default first where there is one.
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
        let environment = compile(&templates, clock)?;
        Ok(ChatTemplate { templates, clock, environment })
    }

    /// The same templates, with `strftime_now` on another clock.
    pub fn with_clock(self, clock: Clock) -> Result<ChatTemplate, TemplateError> {
        let environment = compile(&self.templates, clock)?;
        Ok(ChatTemplate { clock, environment, ..self })
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
        let template = self.environment.get_template(name).map_err(|_| TemplateError::UnknownName {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })?;
        let mut out = Bounded { bytes: Vec::new() };
        match template.render_captured_to(context(input), &mut out) {
            // A template writes text only; the lossy conversion is what the type system asks for.
            Ok(_) => Ok(String::from_utf8(out.bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
            Err(error) => Err(explain(name, &error)),
        }
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

fn compile(templates: &[(String, String)], clock: Clock) -> Result<Environment<'static>, TemplateError> {
    environment::environment(templates, clock).map_err(|error| TemplateError::Syntax {
        name: error.name().unwrap_or(DEFAULT).to_owned(),
        message: one_line(&error),
    })
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
        if current.is::<TooLong>() {
            return TemplateError::Runaway { name: name.to_owned(), message: current.to_string() };
        }
        cause = current.source();
    }
    let (name, message) = (name.to_owned(), one_line(error));
    let too_deep = message.contains("recursion limit exceeded");
    if error.kind() == minijinja::ErrorKind::OutOfFuel || too_deep {
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

/// Output that ends a runaway template.
struct Bounded {
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "it wrote more than {MAX_RENDERED_BYTES} bytes")
    }
}

impl std::error::Error for TooLong {}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_RENDERED_BYTES {
            return Err(io::Error::other(TooLong));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
