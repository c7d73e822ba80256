//! The grammar of enforced calls and the parser speak of the same syntax.

mod common;

use common::grammar::{END, Markers, compiler, format, refusal, text, width, written};
use common::{SOURCES, tools};
use serde_json::{Value, json};
use wootz_chat::{AnswerForm, AnswerPlace, ChatFormat, Parallel, ToolChoice, ToolDefinition, WrittenCall};
use wootz_grammar::{Grammar, GrammarSource, TokenMask};

/// The grammar of calls alone.
fn call_grammar(
    format: &ChatFormat,
    tools: &[ToolDefinition],
    choice: &ToolChoice,
    parallel: Parallel,
) -> Option<GrammarSource> {
    let form = AnswerForm { tools, choice, parallel, content: None, place: AnswerPlace::Turn };
    format.answer_grammar(&form).unwrap()
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
            let grammar = call_grammar(&format, &tools(), &ToolChoice::Required, Parallel::Many).unwrap();
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
        let grammar = call_grammar(&format, &tools(), &choice, Parallel::Single).unwrap();
        let compiled = compiler.compile(&grammar).unwrap();
        let search = written("search", json!({"query": "q"}));
        let one = format.write_calls(std::slice::from_ref(&search));
        assert_eq!(refusal(&mut compiled.clone(), &one, Markers::Spelled), None, "{name}");
        let other = format.write_calls(&[written("now", json!({}))]);
        assert!(refusal(&mut compiled.clone(), &other, Markers::Spelled).is_some(), "{name}");
        let two = format.write_calls(&[search.clone(), search]);
        assert!(refusal(&mut compiled.clone(), &two, Markers::Spelled).is_some(), "{name}");
        assert!(refusal(&mut compiled.clone(), "Hello", Markers::Spelled).is_some(), "{name}");
        assert_eq!(call_grammar(&format, &tools(), &ToolChoice::Auto, Parallel::Many), None);
        assert_eq!(call_grammar(&format, &[], &ToolChoice::Required, Parallel::Many), None);
    }
}

/// Whatever the grammar lets through is read as calls of the tools with arguments that are JSON.
#[test]
fn random_answers_of_the_grammar_are_read() {
    let compiler = compiler();
    for (name, _) in SOURCES {
        for markers in [Markers::Controls, Markers::Spelled] {
            let format = format(name, markers);
            let grammar = call_grammar(&format, &tools(), &ToolChoice::Required, Parallel::Many).unwrap();
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
    let mut mask = TokenMask::none(width());
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
