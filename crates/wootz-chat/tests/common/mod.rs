//! What an answer says, put together from the deltas of a parser.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod grammar;

use std::sync::Arc;

use serde_json::{Value, json};
use wootz_chat::{ChatFormat, Delta, MarkerToken, ParserSettings, Strictness, ToolDefinition, Tools};

/// A template source that is detected as the format.
pub const SOURCES: &[(&str, &str)] = &[
    ("hermes", "<tool_call>"),
    ("qwen-coder", "<tool_call> <function= <parameter="),
    ("llama", "<|python_tag|>"),
    ("mistral-list", "[TOOL_CALLS] |length != 9"),
    ("mistral-id", "[TOOL_CALLS][CALL_ID][ARGS]"),
    ("mistral", "[TOOL_CALLS][ARGS][/THINK]"),
    ("deepseek-r1", "<｜tool▁call▁begin｜> <｜tool▁sep｜> ```json </think>"),
    ("deepseek-v3.1", "<｜tool▁call▁begin｜> <｜tool▁sep｜> </think>"),
    ("deepseek-v4", "｜DSML｜ tool_calls> </think>"),
    ("kimi-k2", "<|tool_call_begin|>"),
    ("kimi-k3", "<|open|> <|close|> <|sep|>"),
    ("glm", "<arg_key> <arg_value> </think>"),
    ("glm-lines", "<arg_key> <arg_value> </arg_key>\\n </think>"),
    ("minimax-m2", "<minimax:tool_call> </think>"),
    ("gemma", "<|tool_call>call:"),
    ("lfm", "<|tool_call_start|> </think>"),
    ("cohere", "<|START_ACTION|>"),
    ("apertus", "<|tools_prefix|>"),
    ("nemotron", "<TOOLCALL> </think>"),
    ("apriel", "<tool_calls>[ [BEGIN FINAL RESPONSE]"),
    ("firefunction", "functools["),
    ("granite", "<|tool_call|> </think>"),
    ("gigachat", "<|function_call|>"),
    ("functionary", "<function= </function>"),
    ("solar", "<|tool_call:begin|> <|tool_call:args|>"),
    ("harmony", "<|channel|> <|message|> <|start|>"),
    ("generic", "plain"),
];

pub fn source(format: &str) -> &'static str {
    SOURCES.iter().find(|(name, _)| *name == format).unwrap().1
}

/// An answer as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub content: String,
    pub reasoning: String,
    /// Names and arguments.
    pub calls: Vec<(String, String)>,
    pub ids: Ids,
}

/// The ids of the calls; they are not compared.
#[derive(Debug, Clone, Default)]
pub struct Ids(pub Vec<String>);

impl PartialEq for Ids {
    fn eq(&self, _: &Ids) -> bool {
        true
    }
}

impl Answer {
    pub fn content(text: &str) -> Answer {
        Answer { content: text.to_owned(), ..Answer::default() }
    }

    pub fn reasoning(mut self, text: &str) -> Answer {
        self.reasoning = text.to_owned();
        self
    }

    pub fn call(mut self, name: &str, arguments: &str) -> Answer {
        self.calls.push((name.to_owned(), arguments.to_owned()));
        self
    }

    pub fn add(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            match delta {
                Delta::Content(text) => self.content.push_str(&text),
                Delta::Reasoning(text) => self.reasoning.push_str(&text),
                Delta::ToolCall { index, id, name } => {
                    assert_eq!(index, self.calls.len());
                    assert!(!id.is_empty());
                    self.ids.0.push(id);
                    self.calls.push((name, String::new()));
                }
                Delta::ToolArguments { index, text } => {
                    assert_eq!(index + 1, self.calls.len());
                    self.calls[index].1.push_str(&text);
                }
            }
        }
    }
}

pub fn tools() -> Vec<ToolDefinition> {
    let tool = |name: &str, parameters: Value| ToolDefinition {
        name: name.to_owned(),
        parameters,
        strictness: Strictness::Loose,
    };
    vec![
        tool(
            "get_weather",
            json!({"type": "object", "required": ["city"], "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "flag": {"type": "boolean"},
                "deep": {"type": "object"},
            }}),
        ),
        tool("search", json!({"type": "object", "properties": {"query": {"type": "string"}}})),
        tool("now", json!({"type": "object", "properties": {}})),
    ]
}

pub fn settings(opened: bool) -> ParserSettings {
    ParserSettings { tools: Tools::Known(Arc::from(tools())), opened, ..ParserSettings::default() }
}

pub fn parse(format: &str, source: &str, text: &str) -> Answer {
    parse_opened(format, source, text, false)
}

/// Reads a text in one piece and character by character, which must agree.
pub fn parse_opened(name: &str, source: &str, text: &str, opened: bool) -> Answer {
    let format = ChatFormat::detect(source, |_| MarkerToken::Absent);
    assert_eq!(format.name(), name);
    let whole = parse_pieces(&format, [text], opened);
    let cut: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(parse_pieces(&format, cut.iter().map(String::as_str), opened), whole, "cut: {text:?}");
    whole
}

pub fn parse_pieces<'a>(
    format: &ChatFormat,
    pieces: impl IntoIterator<Item = &'a str>,
    opened: bool,
) -> Answer {
    let mut parser = format.parser(settings(opened));
    let mut answer = Answer::default();
    for piece in pieces {
        answer.add(parser.push(piece));
    }
    answer.add(parser.finish());
    answer
}
