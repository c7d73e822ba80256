//! Prompts out of a file: a line each, JSON lines, or a list of conversations.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::LoadError;

/// The largest file of prompts or of a trace that is read.
const LARGEST: u64 = 1 << 30;

/// A file's text, if it is not too large.
pub fn read_file(path: &Path) -> Result<String, LoadError> {
    let failed = |source| LoadError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > LARGEST {
        return Err(LoadError::TooLarge { path: path.into(), bytes, limit: LARGEST });
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The prompts in a text; `name` stands in error messages.
///
/// - A JSON array, or JSON objects on a line each: `prompt`, the first of `turns` (MT-bench, Spec-Bench), the first thing
///   said by a human in `conversations` (ShareGPT), or the first message of a user in `messages`.
/// - Anything else: each line that is not empty is a prompt.
pub fn parse(text: &str, name: &str) -> Result<Vec<String>, LoadError> {
    let at_line = |line: usize, what: String| LoadError::Line { path: name.into(), line, what };
    let prompts: Vec<String> = match text.trim_start().chars().next() {
        Some('[') => {
            let entries: Vec<Value> =
                serde_json::from_str(text).map_err(|error| at_line(error.line(), error.to_string()))?;
            // ShareGPT has conversations that nobody began: they are left out.
            entries.iter().filter_map(prompt_of).collect()
        }
        Some('{') => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let prompts = lines.map(|(index, line)| {
                let entry =
                    serde_json::from_str(line).map_err(|error| at_line(index + 1, error.to_string()))?;
                prompt_of(&entry).ok_or_else(|| at_line(index + 1, NO_PROMPT.into()))
            });
            prompts.collect::<Result<_, _>>()?
        }
        _ => text.lines().filter(|line| !line.trim().is_empty()).map(str::to_string).collect(),
    };
    match prompts.is_empty() {
        true => Err(LoadError::Empty { path: name.into(), what: "prompts" }),
        false => Ok(prompts),
    }
}

const NO_PROMPT: &str = "no prompt: an object with prompt, turns, conversations (from, value) or messages (role, content) has one";

fn prompt_of(entry: &Value) -> Option<String> {
    let spoken = |list: &str, who: &str, humans: [&str; 2], what: &str| {
        let said = entry.get(list)?.as_array()?.iter();
        let mut by_human = said
            .filter(|turn| turn.get(who).and_then(Value::as_str).is_some_and(|who| humans.contains(&who)));
        by_human.next()?.get(what)?.as_str()
    };
    let text = entry
        .get("prompt")
        .and_then(Value::as_str)
        .or_else(|| entry.get("turns")?.get(0)?.as_str())
        .or_else(|| spoken("conversations", "from", ["human", "user"], "value"))
        .or_else(|| spoken("messages", "role", ["user", "human"], "content"))?;
    (!text.is_empty()).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse("a b\n\n c\n", "f").unwrap(), ["a b", " c"]);
        assert_eq!(parse("{\"prompt\":\"a\"}\n\n{\"turns\":[\"b\",\"c\"]}", "f").unwrap(), ["a", "b"]);
        let shared = r#"[{"conversations":[{"from":"gpt","value":"x"},{"from":"human","value":"a"}]},
            {"conversations":[]}, {"messages":[{"role":"system","content":"s"},{"role":"user","content":"b"}]}]"#;
        assert_eq!(parse(shared, "f").unwrap(), ["a", "b"]);
    }

    #[test]
    fn wrong_lines_are_named() {
        let error = |text: &str| parse(text, "some.jsonl").unwrap_err().to_string();
        assert!(error("{\"prompt\":\"a\"}\n{\"other\":1}").contains("some.jsonl, line 2: no prompt"));
        assert!(error("{\"prompt\":\"a\"}\n{").contains("line 2: EOF"));
        assert!(error(" \n").contains("has no prompts"));
        assert!(error("[\n{]").contains("line 2"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", odd in r#"[\[\]{}":,a-z\n]{0,60}"#) {
            let _ = parse(&text, "f");
            let _ = parse(&odd, "f");
        }
    }
}
