//! Prompts out of a file: a line each, JSON lines, or a list of conversations.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::LoadError;

/// What a user says in the turns of a conversation. Mostly there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// At least one, none of them empty.
    pub turns: Vec<String>,
}

impl From<&str> for Conversation {
    /// Of one turn.
    fn from(text: &str) -> Self {
        Self { turns: vec![text.to_string()] }
    }
}

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
/// - A JSON array, or JSON objects on a line each: `prompt`, `turns` (MT-bench, Spec-Bench), what a human says in
///   `conversations` (ShareGPT), or a user in `messages`. What others say there is left out: the server answers for itself.
/// - Anything else: each line that is not empty is a prompt.
pub fn parse(text: &str, name: &str) -> Result<Vec<Conversation>, LoadError> {
    let at_line = |line: usize, what: String| LoadError::Line { path: name.into(), line, what };
    let prompts: Vec<Conversation> = match text.trim_start().chars().next() {
        Some('[') => {
            let entries: Vec<Value> =
                serde_json::from_str(text).map_err(|error| at_line(error.line(), error.to_string()))?;
            // ShareGPT has conversations that nobody began: they are left out.
            entries.iter().filter_map(conversation_of).collect()
        }
        Some('{') => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let prompts = lines.map(|(index, line)| {
                let entry =
                    serde_json::from_str(line).map_err(|error| at_line(index + 1, error.to_string()))?;
                conversation_of(&entry).ok_or_else(|| at_line(index + 1, NO_PROMPT.into()))
            });
            prompts.collect::<Result<_, _>>()?
        }
        _ => text.lines().filter(|line| !line.trim().is_empty()).map(Conversation::from).collect(),
    };
    match prompts.is_empty() {
        true => Err(LoadError::Empty { path: name.into(), what: "prompts" }),
        false => Ok(prompts),
    }
}

const NO_PROMPT: &str = "no prompt: an object with prompt, turns, conversations (from, value) or messages (role, content) has one";

fn conversation_of(entry: &Value) -> Option<Conversation> {
    let list = |name: &str| entry.get(name).and_then(Value::as_array);
    let spoken = |name: &str, who: &str, what: &str| {
        let humans = ["human", "user"];
        let by_human =
            |turn: &&Value| turn.get(who).and_then(Value::as_str).is_some_and(|who| humans.contains(&who));
        let said = list(name)?.iter().filter(by_human).map(|turn| turn.get(what)?.as_str());
        said.collect::<Option<Vec<&str>>>()
    };
    let turns = match entry.get("prompt").and_then(Value::as_str) {
        Some(prompt) => vec![prompt],
        None => list("turns")
            .and_then(|turns| turns.iter().map(Value::as_str).collect::<Option<Vec<&str>>>())
            .or_else(|| spoken("conversations", "from", "value"))
            .or_else(|| spoken("messages", "role", "content"))?,
    };
    let turns: Vec<String> = turns.into_iter().filter(|turn| !turn.is_empty()).map(str::to_string).collect();
    (!turns.is_empty()).then_some(Conversation { turns })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read() {
        let all = |text: &str| -> Vec<Vec<String>> {
            parse(text, "f").unwrap().into_iter().map(|conversation| conversation.turns).collect()
        };
        assert_eq!(all("a b\n\n c\n"), [["a b"], [" c"]]);
        assert_eq!(all("{\"prompt\":\"a\"}\n\n{\"turns\":[\"b\",\"\",\"c\"]}"), [vec!["a"], vec!["b", "c"]]);
        let shared = r#"[{"conversations":[{"from":"gpt","value":"x"},{"from":"human","value":"a"}]},
            {"conversations":[]}, {"messages":[{"role":"system","content":"s"},{"role":"user","content":"b"},
            {"role":"assistant","content":"y"},{"role":"user","content":"c"}]}]"#;
        assert_eq!(all(shared), [vec!["a"], vec!["b", "c"]]);
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
