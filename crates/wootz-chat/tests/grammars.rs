//! The grammar of enforced calls and the parser speak of the same syntax.

mod common;

use common::{SOURCES, source, tools};
use serde_json::{Value, json};
use wootz_chat::{ChatFormat, MarkerToken, Parallel, ToolChoice, WrittenCall};
use wootz_grammar::{Grammar, GrammarCompiler, TokenMask, TokenText, Vocabulary};

const END: u32 = 256;
/// Texts that are control tokens in these tests, from this id on.
const CONTROLS: &[&str] = &[
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
];

/// Whether the markers are control tokens or spelled.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Markers {
    Controls,
    Spelled,
}

fn control(text: &str) -> Option<u32> {
    CONTROLS.iter().position(|control| *control == text).map(|index| END + 1 + index as u32)
}

fn compiler() -> GrammarCompiler {
    let bytes = (0..=255u8).map(|byte| TokenText { bytes: vec![byte], special: false });
    let end = TokenText { bytes: b"<|endoftext|>".to_vec(), special: true };
    let controls = CONTROLS.iter().map(|text| TokenText { bytes: text.as_bytes().to_vec(), special: true });
    GrammarCompiler::new(Vocabulary::new(bytes.chain([end]).chain(controls), &[END]).unwrap()).unwrap()
}

fn format(name: &str, markers: Markers) -> ChatFormat {
    ChatFormat::detect(source(name), |text| match (markers, control(text)) {
        (Markers::Controls, Some(id)) => MarkerToken::Control(id),
        _ => MarkerToken::Absent,
    })
}

fn tokens(text: &str, markers: Markers) -> Vec<u32> {
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

fn text(tokens: &[u32]) -> String {
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
fn refusal(grammar: &mut Grammar, text: &str, markers: Markers) -> Option<String> {
    let tokens = tokens(text, markers);
    for (index, token) in tokens.iter().enumerate() {
        if grammar.accept(*token).is_err() {
            return Some(format!("after {:?}", self::text(&tokens[..index])));
        }
    }
    if grammar.may_end().unwrap() { None } else { Some("at the end".to_owned()) }
}

fn written(name: &str, arguments: Value) -> WrittenCall {
    WrittenCall { name: name.to_owned(), arguments: arguments.as_object().unwrap().clone() }
}

fn calls() -> Vec<Vec<WrittenCall>> {
    let weather = json!({"city": "Paris <b> \"x\"\nü", "days": 3, "flag": true, "deep": {"a": [1, "x"], "b": {"c": null}}});
    vec![
        vec![written("now", json!({}))],
        vec![written("search", json!({}))],
        vec![written("get_weather", weather.clone())],
        vec![written("get_weather", json!({"city": "a", "flag": false})), written("now", json!({}))],
        vec![written("search", json!({"query": "q"})), written("get_weather", weather)],
    ]
}

#[test]
fn what_models_write_is_accepted_and_read_back() {
    let compiler = compiler();
    for (name, _) in SOURCES {
        for markers in [Markers::Controls, Markers::Spelled] {
            let format = format(name, markers);
            let grammar = format.tool_grammar(&tools(), &ToolChoice::Required, Parallel::Many).unwrap();
            let compiled =
                compiler.compile(&grammar).unwrap_or_else(|error| panic!("{name}: {error}\n{grammar:?}"));
            for calls in calls() {
                if calls.len() > 1 && ["llama", "gigachat", "harmony"].contains(name) {
                    continue;
                }
                let text = format.write_calls(&calls);
                let refused = refusal(&mut compiled.clone(), &text, markers);
                assert_eq!(refused, None, "{name} {markers:?}: {text:?}\n{grammar:?}");
                let answer = common::parse_pieces(&format, [text.as_str()], false);
                assert_eq!(
                    (answer.content.as_str(), answer.calls.len()),
                    ("", calls.len()),
                    "{name}: {text:?}"
                );
                for (read, written) in answer.calls.iter().zip(&calls) {
                    let arguments: Value =
                        serde_json::from_str(&read.1).unwrap_or_else(|error| panic!("{error}: {read:?}"));
                    assert_eq!(
                        (&read.0, &arguments),
                        (&written.name, &Value::Object(written.arguments.clone())),
                        "{name}: {text:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn only_the_named_tool_may_be_called_and_only_once() {
    let compiler = compiler();
    for (name, _) in SOURCES {
        let format = format(name, Markers::Spelled);
        let choice = ToolChoice::Named("search".to_owned());
        let grammar = format.tool_grammar(&tools(), &choice, Parallel::Single).unwrap();
        let compiled = compiler.compile(&grammar).unwrap();
        let search = written("search", json!({"query": "q"}));
        let one = format.write_calls(std::slice::from_ref(&search));
        assert_eq!(refusal(&mut compiled.clone(), &one, Markers::Spelled), None, "{name}");
        let other = format.write_calls(&[written("now", json!({}))]);
        assert!(refusal(&mut compiled.clone(), &other, Markers::Spelled).is_some(), "{name}");
        let two = format.write_calls(&[search.clone(), search]);
        assert!(refusal(&mut compiled.clone(), &two, Markers::Spelled).is_some(), "{name}");
        assert!(refusal(&mut compiled.clone(), "Hello", Markers::Spelled).is_some(), "{name}");
        assert_eq!(format.tool_grammar(&tools(), &ToolChoice::Auto, Parallel::Many), None);
        assert_eq!(format.tool_grammar(&[], &ToolChoice::Required, Parallel::Many), None);
    }
}

/// Whatever the grammar lets through is read as calls of the tools with arguments that are JSON.
#[test]
fn random_answers_of_the_grammar_are_read() {
    let compiler = compiler();
    for (name, _) in SOURCES {
        for markers in [Markers::Controls, Markers::Spelled] {
            let format = format(name, markers);
            let grammar = format.tool_grammar(&tools(), &ToolChoice::Required, Parallel::Many).unwrap();
            let compiled = compiler.compile(&grammar).unwrap();
            let mut complete = 0;
            for seed in 0..6 {
                let Some(text) = random_answer(compiled.clone(), seed) else { continue };
                complete += 1;
                let answer = common::parse_pieces(&format, [text.as_str()], false);
                assert_eq!(answer.content.trim(), "", "{name}: {text:?}");
                assert!(!answer.calls.is_empty(), "{name}: {text:?}");
                for (tool, arguments) in &answer.calls {
                    assert!(tools().iter().any(|known| known.name == *tool), "{name}: {text:?}");
                    let arguments: Value = serde_json::from_str(arguments)
                        .unwrap_or_else(|error| panic!("{name}: {error}: {text:?}"));
                    assert!(arguments.is_object(), "{name}: {text:?}");
                }
            }
            assert!(complete > 0, "{name} {markers:?}");
        }
    }
}

/// A walk through the grammar that prefers to end things; `None` if it has not come to an end.
fn random_answer(mut grammar: Grammar, seed: u8) -> Option<String> {
    let mut state = u64::from(seed) * 2_654_435_761 + 1;
    // xorshift64: any spread of choices does.
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    };
    let mut mask = TokenMask::none(compiler_width());
    let mut walked = Vec::new();
    for _ in 0..1500 {
        grammar.mask(&mut mask).unwrap();
        let random = next();
        if mask.allows(END) && random % 4 != 0 {
            return Some(text(&walked));
        }
        let allowed: Vec<u32> = mask
            .tokens()
            .filter(|token| {
                *token != END && !(0x80..0x100).contains(token) && (*token >= 0x20 || *token == 10)
            })
            .collect();
        let ending: Vec<u32> = allowed
            .iter()
            .copied()
            .filter(|token| "\"}]>)<,/\n".bytes().any(|byte| u32::from(byte) == *token) || *token > END)
            .collect();
        let choices = if !ending.is_empty() && random % 3 != 0 { &ending } else { &allowed };
        let choices =
            if choices.is_empty() { &mask.tokens().filter(|token| *token != END).collect() } else { choices };
        let token = *choices.get(next() % choices.len().max(1))?;
        grammar.accept(token).unwrap();
        walked.push(token);
    }
    None
}

fn compiler_width() -> usize {
    END as usize + 1 + CONTROLS.len()
}
