//! The messages of a conversation, as they are sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::json::Refusal;

/// A message, by who says it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// What the application says, above the user.
    System(Said),
    /// The same under its newer name.
    Developer(Said),
    /// The user.
    User(Said),
    /// The model.
    Assistant(Answered),
    /// What a tool gave back.
    Tool(ToolResult),
    /// The same for the calls that tools replaced: refused.
    Function(ToolResult),
}

/// What somebody says to the model.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Said {
    /// What is said.
    pub content: Content,
    /// Who says it, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the model said.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Answered {
    /// The answer; may be absent where tools were called.
    pub content: Option<Content>,
    /// The reasoning before it, for templates that show it to the model again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The reasoning, under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The tools that it called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Why it refused to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Its name, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The call of the API before tools: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<CalledFunction>,
    /// An answer in sound: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub audio: Option<Value>,
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct ToolResult {
    /// The result.
    pub content: Option<Content>,
    /// Which call it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct ToolCall {
    /// Names the call; the tool's result says it.
    pub id: Option<String>,
    /// Always `function`.
    #[serde(rename = "type", default)]
    pub kind: FunctionKind,
    /// What is called.
    pub function: CalledFunction,
}

/// The word `function`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FunctionKind {
    /// The only kind of tool.
    #[default]
    Function,
}

/// A function with its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct CalledFunction {
    /// Its name.
    pub name: String,
    /// The arguments: JSON text.
    pub arguments: String,
}

/// Text, or parts of it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected text, or a list of parts such as {\"type\": \"text\", \"text\": \"…\"}"
)]
pub enum Content {
    /// Text.
    Text(String),
    /// Parts, in order.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// The model's refusal in an earlier answer.
    Refusal {
        /// The text.
        refusal: String,
    },
    /// A picture: refused.
    ImageUrl {
        /// Where it is.
        #[schema(value_type = Object)]
        image_url: Value,
    },
    /// Sound: refused.
    InputAudio {
        /// The sound.
        #[schema(value_type = Object)]
        input_audio: Value,
    },
    /// A file: refused.
    File {
        /// The file.
        #[schema(value_type = Object)]
        file: Value,
    },
}

/// Messages in one request: a template reads them all, again and again.
const MESSAGES: usize = 16_384;

/// Checks the messages.
///
/// # Errors
/// Nothing said at all, or something said that this server can't show to a model.
pub fn check(messages: &[Message]) -> Result<(), Refusal> {
    if messages.is_empty() {
        return Err(Refusal::of("messages", "messages is empty: a conversation needs at least one message"));
    }
    if messages.len() > MESSAGES {
        let found = messages.len();
        return Err(Refusal::of(
            "messages",
            format!("messages has {found} messages; at most {MESSAGES} are possible"),
        ));
    }
    messages
        .iter()
        .enumerate()
        .try_for_each(|(index, message)| check_one(&format!("messages[{index}]"), message))
}

fn check_one(param: &str, message: &Message) -> Result<(), Refusal> {
    let content = match message {
        Message::System(said) | Message::Developer(said) | Message::User(said) => Some(&said.content),
        Message::Assistant(answered) => {
            if answered.function_call.is_some() {
                let message = "function_call was replaced by tool_calls, which this server reads";
                return Err(Refusal::of(format!("{param}.function_call"), message));
            }
            if answered.audio.is_some() {
                let message = "this server hears and makes no sound: give the answer's text as content";
                return Err(Refusal::of(format!("{param}.audio"), message));
            }
            if answered.content.is_none() && answered.tool_calls.is_none() && answered.refusal.is_none() {
                let message = "a message of the assistant needs content or tool_calls";
                return Err(Refusal::of(format!("{param}.content"), message));
            }
            answered.content.as_ref()
        }
        Message::Tool(result) => result.content.as_ref(),
        Message::Function(_) => {
            let message = "the role \"function\" was replaced by \"tool\", which this server reads";
            return Err(Refusal::of(format!("{param}.role"), message));
        }
    };
    content.map_or(Ok(()), |content| content.check(param))
}

fn check_parts(param: &str, parts: &[Part]) -> Result<(), Refusal> {
    let kind = |part: &Part| match part {
        Part::Text { .. } | Part::Refusal { .. } => None,
        Part::ImageUrl { .. } => Some("image_url"),
        Part::InputAudio { .. } => Some("input_audio"),
        Part::File { .. } => Some("file"),
    };
    match parts.iter().enumerate().find_map(|(at, part)| Some((at, kind(part)?))) {
        None => Ok(()),
        Some((at, kind)) => {
            let message =
                format!("a part of type {kind:?} can't be read by this model: possible is \"text\"");
            Err(Refusal::of(format!("{param}.content[{at}].type"), message))
        }
    }
}

impl Content {
    /// Checks that it is text; it stands in the member `content` of the parameter.
    ///
    /// # Errors
    /// A part that is none.
    pub fn check(&self, param: &str) -> Result<(), Refusal> {
        match self {
            Content::Text(_) => Ok(()),
            Content::Parts(parts) => check_parts(param, parts),
        }
    }

    /// The whole text; parts follow each other without anything between them.
    pub fn text(&self) -> String {
        match self {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => parts.iter().filter_map(Part::text).collect(),
        }
    }

    /// As templates read it.
    fn to_value(&self) -> Value {
        match self {
            Content::Text(text) => json!(text),
            Content::Parts(parts) => parts
                .iter()
                .filter_map(Part::text)
                .map(|text| json!({"type": "text", "text": text}))
                .collect(),
        }
    }
}

impl Part {
    fn text(&self) -> Option<&str> {
        match self {
            Part::Text { text } => Some(text),
            Part::Refusal { refusal } => Some(refusal),
            Part::ImageUrl { .. } | Part::InputAudio { .. } | Part::File { .. } => None,
        }
    }
}

impl Message {
    /// As templates read it.
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        match self {
            Message::System(said) | Message::Developer(said) | Message::User(said) => {
                let role = match self {
                    Message::User(_) => "user",
                    Message::Developer(_) => "developer",
                    _ => "system",
                };
                put("role", json!(role));
                put("content", said.content.to_value());
                said.name.iter().for_each(|name| drop(put("name", json!(name))));
            }
            Message::Assistant(answered) => {
                put("role", json!("assistant"));
                let refusal = answered.refusal.as_deref().map(|text| Content::Text(text.to_owned()));
                let content = answered.content.as_ref().or(refusal.as_ref());
                put("content", content.map_or(Value::Null, Content::to_value));
                let reasoning = answered.reasoning_content.as_ref().or(answered.reasoning.as_ref());
                reasoning.iter().for_each(|text| drop(put("reasoning_content", json!(text))));
                let calls = answered.tool_calls.as_ref().filter(|calls| !calls.is_empty());
                calls.iter().for_each(|calls| drop(put("tool_calls", json!(calls))));
                answered.name.iter().for_each(|name| drop(put("name", json!(name))));
            }
            Message::Tool(result) | Message::Function(result) => {
                put("role", json!("tool"));
                put("content", result.content.as_ref().map_or_else(|| json!(""), Content::to_value));
                result.tool_call_id.iter().for_each(|id| drop(put("tool_call_id", json!(id))));
                result.name.iter().for_each(|name| drop(put("name", json!(name))));
            }
        }
        Value::Object(object)
    }
}
