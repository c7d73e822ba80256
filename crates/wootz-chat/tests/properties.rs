//! Whatever a model writes, however it is cut: one answer, no panic, nothing lost.

mod common;

use common::{Answer, SOURCES, parse_pieces};
use proptest::prelude::*;
use wootz_chat::{ChatFormat, MarkerToken, ParserSettings, ReasoningOutput, Tools};

/// Pieces of all formats' syntax and of what may come between.
const WORDS: &[&str] = &[
    "<think>",
    "</think>",
    "\n",
    " ",
    "Hi",
    "é",
    "<",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "'",
    "\"",
    ",",
    ":",
    "=",
    "\\",
    "<tool_call>",
    "</tool_call>",
    "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"a\"}}",
    "\"name\"",
    "\"arguments\"",
    "get_weather",
    "search",
    "city",
    "12",
    "true",
    "null",
    "<function=",
    "<parameter=",
    "</parameter>",
    "</function>",
    ">",
    "<|python_tag|>",
    ".call",
    "[TOOL_CALLS]",
    "[CALL_ID]",
    "abcdefgh1",
    "[ARGS]",
    "[THINK]",
    "[/THINK]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "function",
    "<｜tool▁sep｜>",
    "```json",
    "```",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
    "<｜DSML｜tool_calls>",
    "<｜DSML｜invoke name=\"",
    "<｜DSML｜parameter name=\"",
    "\" string=\"true\">",
    "\" string=\"false\">",
    "</｜DSML｜parameter>",
    "</｜DSML｜invoke>",
    "</｜DSML｜tool_calls>",
    "<|tool_calls_section_begin|>",
    "<|tool_call_begin|>",
    "functions.search:0",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<|tool_calls_section_end|>",
    "<|open|>",
    "think",
    "response",
    "tools",
    "call tool=\"",
    "\" index=\"",
    "argument key=\"",
    "\" type=\"",
    "string\"",
    "<|sep|>",
    "<|close|>",
    "argument",
    "message",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<minimax:tool_call>",
    "<invoke name=\"",
    "\">",
    "<parameter name=\"",
    "</invoke>",
    "</minimax:tool_call>",
    "<|tool_call>",
    "call:",
    "<|\"|>",
    "<tool_call|>",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    "<|START_THINKING|>",
    "<|END_THINKING|>",
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|tools_prefix|>",
    "<|tools_suffix|>",
    "<TOOLCALL>",
    "</TOOLCALL>",
    "<tool_calls>",
    "</tool_calls>",
    "functools[",
    "<|tool_call|>",
    "<|function_call|>",
    "<|tool_calls|>",
    "<|tool_call:begin|>",
    "<|tool_call:name|>",
    "<|tool_call:args|>",
    "<|tool_call:end|>",
    "<|calls|>",
    "<|begin|>assistant",
    "<|content|>",
    "<|think|>",
    "<|end|>",
    "<|channel|>",
    "analysis",
    "final",
    "commentary",
    " to=functions.search",
    "<|constrain|>",
    "<|message|>",
    "<|start|>",
    "assistant",
    "<|call|>",
    "<|channel>thought\n",
    "<channel|>",
    "[BEGIN FINAL RESPONSE]",
    "[END FINAL RESPONSE]",
    "Here are my reasoning steps:\n",
];

fn formats() -> impl Iterator<Item = ChatFormat> {
    SOURCES.iter().map(|(_, source)| ChatFormat::detect(source, |_| MarkerToken::Absent))
}

fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![4 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

/// Words of one format's own syntax, so that calls come about more often.
fn own_text(source: &str, seeds: &[usize]) -> String {
    let own: Vec<&str> = WORDS
        .iter()
        .filter(|word| {
            word.len() < 3 || source.contains(word.trim()) || word.is_ascii() && !word.contains(['<', '['])
        })
        .copied()
        .collect();
    seeds.iter().map(|seed| own[seed % own.len()]).collect()
}

fn check_cuts(format: &ChatFormat, text: &str, cuts: &[usize], opened: bool) {
    let whole = parse_pieces(format, [text], opened);
    let characters: Vec<char> = text.chars().collect();
    let each: Vec<String> = characters.iter().map(|character| character.to_string()).collect();
    assert_eq!(
        parse_pieces(format, each.iter().map(String::as_str), opened),
        whole,
        "{} {text:?}",
        format.name()
    );
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (characters.len() + 1)).collect();
    places.extend([0, characters.len()]);
    places.sort_unstable();
    let pieces: Vec<String> =
        places.windows(2).map(|pair| characters[pair[0]..pair[1]].iter().collect()).collect();
    assert_eq!(
        parse_pieces(format, pieces.iter().map(String::as_str), opened),
        whole,
        "{} {text:?}",
        format.name()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn cuts_change_nothing(text in text(), cuts in prop::collection::vec(any::<usize>(), 0..6), opened: bool) {
        for format in formats() {
            check_cuts(&format, &text, &cuts, opened);
        }
    }

    #[test]
    fn cuts_of_own_syntax_change_nothing(seeds in prop::collection::vec(any::<usize>(), 0..40), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        for (_, source) in SOURCES {
            let format = ChatFormat::detect(source, |_| MarkerToken::Absent);
            check_cuts(&format, &own_text(source, &seeds), &cuts, false);
        }
    }

    /// Without tools and with reasoning in the content, all that is left out is frames and whitespace around markers.
    #[test]
    fn without_tools_all_text_is_content(text in text()) {
        for format in formats().filter(|format| format.name() != "harmony") {
            let settings = ParserSettings { tools: Tools::None, opened: false, reasoning: ReasoningOutput::InContent };
            let mut parser = format.parser(settings);
            let mut answer = Answer::default();
            answer.add(parser.push(&text));
            answer.add(parser.finish());
            prop_assert!(answer.calls.is_empty() && answer.reasoning.is_empty());
            let squeezed = |text: &str| -> String {
                let mut text = text.to_owned();
                for frame in ["<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>", "<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>", "[END FINAL RESPONSE]"] {
                    text = text.replace(frame, "");
                }
                text.chars().filter(|character| !character.is_whitespace()).collect()
            };
            prop_assert_eq!(squeezed(&answer.content), squeezed(&text), "{}", format.name());
        }
    }
}
