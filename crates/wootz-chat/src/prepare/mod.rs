//! Messages as a chat template expects them.
//!
//! Requests carry messages in the form of the OpenAI chat API. Templates were written against their own authors' data:
//! what they read differently is found by looking at their source, and only that is changed.

mod fallback;
mod messages;

use serde_json::{Map, Value, json};

use crate::format::ChatFormat;

/// What a template does with messages, by its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TemplateTraits {
    /// It shows tool calls of earlier turns.
    pub shows_calls: bool,
    /// It shows the request's tools.
    pub shows_tools: bool,
    /// It knows the role "developer".
    pub developer: bool,
    /// It takes arguments as JSON text and not as an object.
    pub arguments_as_text: bool,
    /// It shows calls only in messages without content.
    pub calls_need_null_content: bool,
    /// It takes reasoning as a part of the content.
    pub reasoning_in_content: bool,
    /// It refuses content and reasoning in one message with calls.
    pub content_or_reasoning: bool,
    /// It takes results of tools as a part of the message that called them.
    pub results_in_message: bool,
}

impl TemplateTraits {
    pub(crate) fn of(source: &str) -> TemplateTraits {
        let has = |text: &str| source.contains(text);
        TemplateTraits {
            shows_calls: has("tool_calls") || has("function_call"),
            shows_tools: has("tools") || has("functions"),
            developer: has("'developer'") || has("\"developer\""),
            arguments_as_text: joins_arguments(source),
            calls_need_null_content: needs_null_content(source),
            reasoning_in_content: has("block['thinking']"),
            content_or_reasoning: has("Cannot pass both content and thinking"),
            results_in_message: has("tool_responses") && !has("== 'tool'") && !has("== \"tool\""),
        }
    }
}

/// Whether calls stand under a condition that the content is null or empty.
fn needs_null_content(source: &str) -> bool {
    ["and message['content'] is none", "and not message['content']"].iter().any(|condition| {
        source.match_indices(condition).any(|(at, _)| {
            let from = &source[at..];
            let next = from.find("message['role']").unwrap_or(from.len());
            from[..next].contains("message['tool_calls']")
        })
    })
}

/// Whether arguments are joined to text with `+` and never written as JSON.
fn joins_arguments(source: &str) -> bool {
    let mut joined = false;
    for (at, word) in source.match_indices("arguments") {
        let rest = source[at + word.len()..].trim_start_matches(['\'', '"', ']']).trim_start();
        if rest.strip_prefix('|').is_some_and(|filter| filter.trim_start().starts_with("tojson")) {
            return false;
        }
        joined |= rest.starts_with("+ '") || rest.starts_with("+ \"");
    }
    joined
}

impl ChatFormat {
    /// The messages as the template takes them.
    ///
    /// Arguments of calls become objects (or text, where the template joins them to text); text parts become one
    /// text; "developer" becomes "system" where the template does not know it, and leading system messages become one;
    /// reasoning (`reasoning_content` or `reasoning`) goes to the key that the template reads; ids get the form that it
    /// demands; results of tools get the name of their tool; where the format knows one call a message, each gets its own. Where the template cannot show calls or tools at all, they
    /// are written into the text.
    pub fn prepare(&self, messages: &[Value], tools: &[Value]) -> Vec<Value> {
        let mut prepared = messages::prepare(self, messages);
        if !self.traits.shows_calls {
            fallback::write_calls(self, &mut prepared);
        }
        if !self.traits.shows_tools && !tools.is_empty() {
            fallback::describe_tools(&mut prepared, tools);
        }
        prepared
    }

    /// The tools as templates take them: each with a description and parameters, which some templates do not miss
    /// without failing.
    pub fn prepare_tools(&self, tools: &[Value]) -> Vec<Value> {
        let mut tools = tools.to_vec();
        for tool in &mut tools {
            if let Some(function) = tool.get_mut("function").and_then(Value::as_object_mut) {
                fill(function, "description", json!(""));
                fill(function, "parameters", json!({ "type": "object", "properties": {} }));
            }
        }
        tools
    }

    /// Variables that some templates want besides messages and tools: `functions`, the tools as JSON text, and
    /// `datetime`, for which the caller gives the text.
    pub fn variables(&self, tools: &[Value], datetime: &str) -> Map<String, Value> {
        let mut variables = Map::new();
        if self.name() == "firefunction" {
            let functions: Vec<&Value> =
                tools.iter().map(|tool| tool.get("function").unwrap_or(tool)).collect();
            let text = serde_json::to_string_pretty(&functions).unwrap_or_default();
            variables.insert("functions".to_owned(), Value::String(text));
            variables.insert("datetime".to_owned(), Value::from(datetime));
        }
        variables
    }
}

fn fill(members: &mut Map<String, Value>, key: &str, value: Value) {
    let entry = members.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = value;
    }
}
