//! Grammars over a vocabulary of bytes, where markers are control tokens or spelled.
#![allow(dead_code, reason = "each test file uses a part")]

use serde_json::Value;
use wootz_chat::{ChatFormat, MarkerToken, WrittenCall};
use wootz_grammar::{Grammar, GrammarCompiler, TokenText, Vocabulary};

use super::source;

pub const END: u32 = 256;
/// Texts that are control tokens in these tests, from this id on.
pub const CONTROLS: &[&str] = &[
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[CALL_ID]",
    "[ARGS]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<|tool_calls_section_end|>",
    "<|open|>",
    "<|close|>",
    "<|sep|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|\"|>",
    "<|tool_call_start|>",
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    "<|tools_prefix|>",
    "<|tools_suffix|>",
    "<|tool_call|>",
    "<|function_call|>",
    "<|tool_calls|>",
    "<|tool_call:begin|>",
    "<|tool_call:name|>",
    "<|tool_call:args|>",
    "<|tool_call:end|>",
    "<|calls|>",
    "<|begin|>",
    "<|channel|>",
    "<|constrain|>",
    "<|message|>",
    "<|start|>",
    "<|end|>",
    "<|content|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
];

/// Whether the markers are control tokens or spelled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Markers {
    Controls,
    Spelled,
}

/// What a walk or a test needs to know: how many tokens there are.
pub fn width() -> usize {
    END as usize + 1 + CONTROLS.len()
}

pub fn control(text: &str) -> Option<u32> {
    CONTROLS.iter().position(|control| *control == text).map(|index| END + 1 + index as u32)
}

pub fn compiler() -> GrammarCompiler {
    let bytes = (0..=255u8).map(|byte| TokenText { bytes: vec![byte], special: false });
    let end = TokenText { bytes: b"<|endoftext|>".to_vec(), special: true };
    let controls = CONTROLS.iter().map(|text| TokenText { bytes: text.as_bytes().to_vec(), special: true });
    GrammarCompiler::new(Vocabulary::new(bytes.chain([end]).chain(controls), &[END]).unwrap()).unwrap()
}

pub fn format(name: &str, markers: Markers) -> ChatFormat {
    ChatFormat::detect(source(name), |text| match (markers, control(text)) {
        (Markers::Controls, Some(id)) => MarkerToken::Control(id),
        _ => MarkerToken::Absent,
    })
}

pub fn tokens(text: &str, markers: Markers) -> Vec<u32> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let found =
            CONTROLS.iter().find(|control| markers == Markers::Controls && rest.starts_with(**control));
        match found {
            Some(found) => {
                tokens.push(control(found).unwrap());
                rest = &rest[found.len()..];
            }
            None => {
                let length = rest.chars().next().unwrap().len_utf8();
                tokens.extend(rest[..length].bytes().map(u32::from));
                rest = &rest[length..];
            }
        }
    }
    tokens
}

pub fn text(tokens: &[u32]) -> String {
    let mut bytes = Vec::new();
    for token in tokens {
        match token {
            0..END => bytes.push(*token as u8),
            other => bytes.extend(CONTROLS[(other - END - 1) as usize].as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the grammar refuses the text, if it does.
pub fn refusal(grammar: &mut Grammar, text: &str, markers: Markers) -> Option<String> {
    let tokens = tokens(text, markers);
    for (index, token) in tokens.iter().enumerate() {
        if grammar.accept(*token).is_err() {
            return Some(format!("after {:?}", self::text(&tokens[..index])));
        }
    }
    if grammar.may_end().unwrap() { None } else { Some("at the end".to_owned()) }
}

pub fn written(name: &str, arguments: Value) -> WrittenCall {
    WrittenCall { name: name.to_owned(), arguments: arguments.as_object().unwrap().clone() }
}
