//! Any text, by any format's parser, in pieces: no panic, and the pieces change nothing.
//!
//! `cargo +nightly fuzz run chat`
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wootz_chat::{ChatFormat, Delta, MarkerToken, ParserSettings, Strictness, ToolDefinition, Tools};

/// Texts of templates: one for each family of formats.
const SOURCES: &[&str] = &[
    "<tool_call> </think>",
    "<tool_call> <function= <parameter=",
    "<|python_tag|>",
    "[TOOL_CALLS][CALL_ID][ARGS][/THINK]",
    "<｜tool▁call▁begin｜> <｜tool▁sep｜> ```json </think>",
    "｜DSML｜ tool_calls> </think>",
    "<|tool_call_begin|>",
    "<|open|> <|close|> <|sep|>",
    "<arg_key> <arg_value> </think>",
    "<|tool_call>call:",
    "<|tool_call_start|> </think>",
    "<|START_ACTION|>",
    "<|tool_call:begin|> <|tool_call:args|>",
    "<|channel|> <|message|> <|start|>",
];

/// Content, reasoning, and each call's name and arguments, one after the other.
fn read<'a>(format: &ChatFormat, pieces: impl Iterator<Item = &'a str>) -> [String; 3] {
    let parameters = serde_json::json!({"properties": {"a": {"type": "string"}}});
    let tool = ToolDefinition { name: "f".to_owned(), parameters, strictness: Strictness::Loose };
    let settings = ParserSettings { tools: Tools::Known(Arc::from([tool])), ..ParserSettings::default() };
    let mut parser = format.parser(settings);
    let mut deltas: Vec<Delta> = pieces.flat_map(|piece| parser.push(piece)).collect();
    deltas.extend(parser.finish());
    let mut out = [String::new(), String::new(), String::new()];
    for delta in deltas {
        match delta {
            Delta::Content(text) => out[0].push_str(&text),
            Delta::Reasoning(text) => out[1].push_str(&text),
            Delta::ToolCall { name, .. } => out[2].push_str(&name),
            Delta::ToolArguments { text, .. } => out[2].push_str(&text),
        }
    }
    out
}

fuzz_target!(|input: (u8, &str)| {
    let (choice, text) = input;
    let format = ChatFormat::detect(SOURCES[choice as usize % SOURCES.len()], |_| MarkerToken::Absent);
    let whole = read(&format, std::iter::once(text));
    let cut: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(read(&format, cut.iter().map(String::as_str)), whole);
});
