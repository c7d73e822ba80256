//! One message after the other.

use serde_json::{Map, Value, json};

use crate::format::ChatFormat;
use crate::syntax::Several;

type Message = Map<String, Value>;

pub(super) fn prepare(format: &ChatFormat, messages: &[Value]) -> Vec<Value> {
    let mut prepared: Vec<Message> = Vec::new();
    // Ids and names of the calls so far: results say which call they answer, not which tool.
    let mut names: Vec<(String, String)> = Vec::new();
    for message in messages {
        let Some(message) = message.as_object() else { continue };
        let mut message = message.clone();
        if role(&message) == "developer" && !format.traits.developer {
            message.insert("role".to_owned(), json!("system"));
        }
        join_parts(&mut message);
        match role(&message) {
            "assistant" => {
                prepare_calls(format, &mut message, &mut names);
                move_reasoning(format, &mut message);
            }
            "tool" => prepare_result(format, &mut message, &names),
            _ => {}
        }
        push(format, message, &mut prepared);
    }
    prepared.into_iter().map(Value::Object).collect()
}

fn role(message: &Message) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or("")
}

/// Adds a message to those before it: leading system messages become one, and so on.
fn push(format: &ChatFormat, message: Message, prepared: &mut Vec<Message>) {
    let instructs = |message: &Message| matches!(role(message), "system" | "developer");
    if prepared.len() == 1 && instructs(&prepared[0]) && instructs(&message) {
        let texts = (prepared[0].get("content").and_then(Value::as_str), message["content"].as_str());
        if let (Some(first), Some(second)) = texts {
            let joined = format!("{first}\n\n{second}");
            prepared[0].insert("content".to_owned(), Value::String(joined));
            return;
        }
    }
    if format.traits.results_in_message
        && role(&message) == "tool"
        && let Some(caller) = prepared.last_mut().filter(|last| last.contains_key("tool_calls"))
    {
        add_result(caller, &message);
        return;
    }
    if format.traits.calls_need_null_content && message.contains_key("tool_calls") {
        // What the model said before it called becomes a turn of its own.
        let mut calls = message.clone();
        calls.insert("content".to_owned(), Value::Null);
        if message["content"].as_str().is_some_and(|text| !text.is_empty()) {
            let mut said = message;
            said.remove("tool_calls");
            prepared.push(said);
        }
        prepared.push(calls);
        return;
    }
    if format.calls.several == Several::Never {
        push_single(message, prepared);
    } else {
        prepared.push(message);
    }
}

/// Where the format knows one call a message: several become messages of their own, each before its result.
fn push_single(mut message: Message, prepared: &mut Vec<Message>) {
    if role(&message) == "tool" {
        let id = message.get("tool_call_id").cloned().unwrap_or_default();
        let calls = |caller: &Message| caller.get("tool_calls").is_some_and(|calls| calls[0]["id"] == id);
        let place = prepared.iter().rposition(calls).map_or(prepared.len(), |at| at + 1);
        prepared.insert(place, message);
        return;
    }
    let calls = match message.get("tool_calls") {
        Some(Value::Array(calls)) if calls.len() > 1 => calls.clone(),
        _ => {
            prepared.push(message);
            return;
        }
    };
    for call in calls {
        let mut single = message.clone();
        single.insert("tool_calls".to_owned(), json!([call]));
        prepared.push(single);
        message =
            Map::from_iter([("role".to_owned(), json!("assistant")), ("content".to_owned(), json!(""))]);
    }
}

/// Text parts become one text, null becomes the empty text. Content with other parts stays: the template shows it.
fn join_parts(message: &mut Message) {
    let content = message.entry("content").or_insert(Value::Null);
    match content {
        Value::Null => *content = json!(""),
        Value::Array(parts) => {
            let texts: Option<Vec<&str>> = parts
                .iter()
                .map(|part| match part["type"].as_str() {
                    Some("text" | "input_text" | "output_text") | None => {
                        part["text"].as_str().or(part.as_str())
                    }
                    Some("refusal") => part["refusal"].as_str(),
                    Some(_) => None,
                })
                .collect();
            if let Some(texts) = texts {
                *content = Value::String(texts.join("\n"));
            }
        }
        _ => {}
    }
}

fn prepare_calls(format: &ChatFormat, message: &mut Message, names: &mut Vec<(String, String)>) {
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    let Some(calls) = calls.filter(|calls| !calls.is_empty()) else {
        message.remove("tool_calls");
        return;
    };
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.entry("type").or_insert(json!("function"));
        let id = call.get("id").and_then(Value::as_str).unwrap_or("").to_owned();
        call.insert("id".to_owned(), Value::String(format.ids.fit(&id)));
        let Some(function) = call.get_mut("function").and_then(Value::as_object_mut) else { continue };
        names.push((id, function.get("name").and_then(Value::as_str).unwrap_or("").to_owned()));
        let arguments = function.entry("arguments").or_insert(Value::Null);
        *arguments = if format.traits.arguments_as_text { as_text(arguments) } else { as_object(arguments) };
    }
}

/// Arguments as an object. Text that is no JSON object, which a model may have written, becomes its only member.
fn as_object(arguments: &Value) -> Value {
    let parsed = match arguments {
        Value::Null => return json!({}),
        Value::String(text) if text.trim().is_empty() => return json!({}),
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
        other => other.clone(),
    };
    if parsed.is_object() { parsed } else { json!({ "arguments": parsed }) }
}

fn as_text(arguments: &Value) -> Value {
    match arguments {
        Value::String(text) if !text.trim().is_empty() => arguments.clone(),
        Value::Null | Value::String(_) => json!("{}"),
        other => Value::String(other.to_string()),
    }
}

/// Reasoning goes under every name that templates know; the one that reads it takes it.
fn move_reasoning(format: &ChatFormat, message: &mut Message) {
    let known = ["reasoning_content", "reasoning", "thinking"];
    let found = known.iter().find_map(|key| message.get(*key).and_then(Value::as_str)).map(str::to_owned);
    for key in known {
        message.remove(key);
    }
    let Some(mut reasoning) = found.filter(|text| !text.is_empty()) else { return };
    let content = message["content"].as_str().unwrap_or("").to_owned();
    if format.traits.reasoning_in_content {
        let mut parts = vec![json!({ "type": "thinking", "thinking": reasoning })];
        if !content.is_empty() {
            parts.push(json!({ "type": "text", "text": content }));
        }
        message.insert("content".to_owned(), Value::Array(parts));
        return;
    }
    if format.traits.content_or_reasoning && message.contains_key("tool_calls") && !content.is_empty() {
        reasoning = format!("{reasoning}\n\n{content}");
        message.insert("content".to_owned(), json!(""));
    }
    for key in known {
        message.insert(key.to_owned(), Value::String(reasoning.clone()));
    }
}

fn prepare_result(format: &ChatFormat, message: &mut Message, names: &[(String, String)]) {
    let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or("").to_owned();
    if !message.get("name").is_some_and(Value::is_string)
        && let Some((_, name)) = names.iter().rev().find(|(known, _)| *known == id)
    {
        message.insert("name".to_owned(), Value::String(name.clone()));
    }
    message.insert("tool_call_id".to_owned(), Value::String(format.ids.fit(&id)));
}

/// Adds a result to the message that called.
fn add_result(caller: &mut Message, result: &Message) {
    let content = &result["content"];
    let parsed: Option<Value> = content.as_str().and_then(|text| serde_json::from_str(text).ok());
    let response = parsed.filter(Value::is_object).unwrap_or_else(|| content.clone());
    let name = result.get("name").cloned().unwrap_or(Value::Null);
    let results = caller.entry("tool_responses").or_insert(json!([]));
    if let Some(results) = results.as_array_mut() {
        results.push(json!({ "name": name, "response": response }));
    }
}
