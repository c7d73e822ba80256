//! Tools for models whose template does not know them.

use serde_json::{Map, Value, json};

use crate::format::ChatFormat;
use crate::render::{WrittenCall, render};

/// Writes earlier calls into the content, in the format's own syntax, for templates that would leave them out.
pub(super) fn write_calls(format: &ChatFormat, messages: &mut [Value]) {
    for message in messages.iter_mut().filter_map(Value::as_object_mut) {
        let Some(Value::Array(calls)) = message.remove("tool_calls") else { continue };
        let calls: Vec<WrittenCall> = calls
            .iter()
            .map(|call| {
                let function = &call["function"];
                WrittenCall {
                    name: function["name"].as_str().unwrap_or("").to_owned(),
                    arguments: function["arguments"].as_object().cloned().unwrap_or_default(),
                }
            })
            .collect();
        let content = message.get("content").and_then(Value::as_str).unwrap_or("");
        let lead = if content.is_empty() { "" } else { "\n" };
        let text = format!("{content}{lead}{}", render(format.calls, &calls));
        message.insert("content".to_owned(), Value::String(text));
    }
}

/// Describes the tools in the system message, and gives their results as the user's messages: the model was trained
/// on neither, but can follow it.
pub(super) fn describe_tools(messages: &mut Vec<Value>, tools: &[Value]) {
    let functions: Vec<String> =
        tools.iter().map(|tool| tool.get("function").unwrap_or(tool).to_string()).collect();
    let text = format!(
        "You may call these functions:\n{}\n\nTo call a function, write nothing but:\n<tool_call>\n{{\"name\": \
         \"the function's name\", \"arguments\": {{its arguments as JSON}}}}\n</tool_call>\nWrite one such block for \
         each call. The results come in the next message.",
        functions.join("\n")
    );
    match messages.first_mut().and_then(Value::as_object_mut) {
        Some(first) if first.get("role").is_some_and(|role| role == "system") => {
            let content = first.get("content").and_then(Value::as_str).unwrap_or("");
            let joined = if content.is_empty() { text } else { format!("{content}\n\n{text}") };
            first.insert("content".to_owned(), Value::String(joined));
        }
        _ => messages.insert(0, json!({ "role": "system", "content": text })),
    }
    join_results(messages);
}

/// Neighbouring results of tools become one message of the user.
fn join_results(messages: &mut Vec<Value>) {
    let mut joined: Vec<Value> = Vec::with_capacity(messages.len());
    let mut after_result = false;
    for message in messages.drain(..) {
        let is_result = message["role"] == "tool";
        if !is_result {
            after_result = false;
            joined.push(message);
            continue;
        }
        let text =
            format!("<tool_response>\n{}\n</tool_response>", message["content"].as_str().unwrap_or(""));
        let last = joined.last_mut().filter(|_| after_result).and_then(Value::as_object_mut);
        match last {
            Some(last) => {
                let content = last.get("content").and_then(Value::as_str).unwrap_or("");
                let content = format!("{content}\n{text}");
                last.insert("content".to_owned(), Value::String(content));
            }
            None => {
                let members = [("role".to_owned(), json!("user")), ("content".to_owned(), json!(text))];
                joined.push(Value::Object(Map::from_iter(members)));
            }
        }
        after_result = true;
    }
    *messages = joined;
}
