//! The tools of a request.

use std::sync::Arc;

use serde_json::Value;

use crate::json_text::quoted;

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// The name that the model writes.
    pub name: String,
    /// The JSON schema of its arguments, an object; `Value::Null` is an object of anything.
    pub parameters: Value,
    /// How far arguments are held to the schema where the model decides whether to call.
    pub strictness: Strictness,
}

/// How far the arguments of a call are held to the tool's schema. Where a call is required, they always are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strictness {
    /// They are as the model writes them.
    #[default]
    Loose,
    /// They satisfy it.
    Schema,
}

/// Which call the request wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No call.
    None,
    /// At least one call.
    Required,
    /// A call of this tool.
    Named(String),
}

/// How many calls an answer may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parallel {
    /// Several.
    #[default]
    Many,
    /// One.
    Single,
}

/// What a parser takes for a tool call.
#[derive(Debug, Clone, Default)]
pub enum Tools {
    /// Nothing: the request has no tools, and what looks like a call is content.
    #[default]
    None,
    /// Calls in the format's syntax. A name that is not here is handed on like the others where a marker says that it
    /// is a call; where only its JSON says so (Llama 3), it is content.
    Known(Arc<[ToolDefinition]>),
}

impl Tools {
    /// The tool of the given name.
    pub(crate) fn find(&self, name: &str) -> Option<&ToolDefinition> {
        match self {
            Tools::None => None,
            Tools::Known(tools) => tools.iter().find(|tool| tool.name == name),
        }
    }
}

/// How the text of an argument in a format without JSON becomes JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgumentKind {
    /// It is a string, as it stands.
    Text,
    /// It is JSON if it reads as JSON of one of these types, else a string. No types: of any type.
    Json(Vec<String>),
}

impl ArgumentKind {
    /// JSON of any type, else a string.
    pub(crate) const ANY: ArgumentKind = ArgumentKind::Json(Vec::new());

    /// The kind of value that a schema allows. One that it says nothing of is read as JSON where it is JSON.
    pub(crate) fn of_schema(schema: &Value) -> ArgumentKind {
        let mut types = Vec::new();
        add_types(schema, &mut types, 0);
        if !types.is_empty() && types.iter().all(|name| name == "string") {
            ArgumentKind::Text
        } else {
            ArgumentKind::Json(types)
        }
    }

    /// The argument as JSON text. Python's words for JSON's are translated.
    pub(crate) fn value(&self, text: &str) -> String {
        let ArgumentKind::Json(types) = self else { return quoted(text) };
        let trimmed = match text.trim() {
            "True" => "true",
            "False" => "false",
            "None" => "null",
            other => other,
        };
        let Ok(value) = serde_json::from_str::<Value>(trimmed) else { return quoted(text) };
        let allowed = types.is_empty() || types.iter().any(|name| is_of_type(&value, name));
        if !allowed && types.iter().any(|name| name == "string") { quoted(text) } else { trimmed.to_owned() }
    }
}

impl ToolDefinition {
    /// What the schema says of an argument.
    pub(crate) fn argument_kind(&self, name: &str) -> ArgumentKind {
        ArgumentKind::of_schema(&self.parameters["properties"][name])
    }
}

/// How deep alternatives of alternatives are followed.
const DEEPEST_SCHEMA: usize = 8;

/// The names of the JSON types that a schema allows; nothing where it does not say.
fn add_types(schema: &Value, types: &mut Vec<String>, depth: usize) {
    match &schema["type"] {
        Value::String(name) => types.push(name.clone()),
        Value::Array(names) => types.extend(names.iter().filter_map(Value::as_str).map(str::to_owned)),
        _ => {
            let constant = schema.get("const").map(std::slice::from_ref);
            let values = schema["enum"].as_array().map(Vec::as_slice).or(constant);
            types.extend(values.into_iter().flatten().map(|value| type_name(value).to_owned()));
            let alternatives = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array());
            for alternative in alternatives.into_iter().flatten().filter(|_| depth < DEEPEST_SCHEMA) {
                add_types(alternative, types, depth + 1);
            }
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    type_name(value) == name || name == "integer" && value.is_number()
}
