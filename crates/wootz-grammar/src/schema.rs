//! JSON schemas: their size, where something in them stands, and what OpenAI calls strict.

use serde_json::{Value, json};

use crate::{GrammarError, GrammarLimits};

/// Space between the tokens of JSON text: a blank, or a new line with room to indent. A model that does not know JSON
/// would spend its tokens on more.
const SPACE: &str = r" |\r?\n[ \t]{0,20}";

/// Keywords whose value maps names to schemas.
const MAPS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Keywords whose value is a schema or a list of them.
const SCHEMAS: [&str; 15] = [
    "items",
    "prefixItems",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
];

/// The schema as the parser takes it, after checking its size.
pub(crate) fn prepare(schema: &Value, limits: &GrammarLimits) -> Result<Value, GrammarError> {
    measure(schema, limits)?;
    match schema {
        Value::Object(members) => {
            let mut members = members.clone();
            members.insert("x-guidance".to_owned(), options());
            Ok(Value::Object(members))
        }
        Value::Bool(true) => Ok(json!({ "x-guidance": options() })),
        Value::Bool(false) => Err(at("#", "false allows no value at all")),
        other => Err(at("#", format!("a schema is an object or true, not {}", name(other)))),
    }
}

/// The schema of any object.
pub(crate) fn any_object() -> Value {
    json!({ "type": "object", "x-guidance": options() })
}

fn options() -> Value {
    json!({ "whitespace_flexible": true, "whitespace_pattern": SPACE })
}

/// Counts what a schema from outside may have only so much of. Does not recurse.
fn measure(schema: &Value, limits: &GrammarLimits) -> Result<(), GrammarError> {
    let kind = "JSON schema";
    let (mut values, mut bytes) = (0, 0);
    let mut pending = vec![(schema, 1)];
    while let Some((value, depth)) = pending.pop() {
        values += 1;
        if depth > limits.depth {
            return Err(GrammarError::TooLarge {
                kind,
                unit: "levels of nesting",
                found: depth,
                limit: limits.depth,
            });
        }
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                let (found, limit) = (members.len(), limits.members);
                if found > limit {
                    return Err(GrammarError::TooLarge { kind, unit: "members in one object", found, limit });
                }
                bytes += members.keys().map(String::len).sum::<usize>();
                pending.extend(members.values().map(|member| (member, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    for (unit, found, limit) in [("values", values, limits.parts), ("bytes of text", bytes, limits.bytes)] {
        if found > limit {
            return Err(GrammarError::TooLarge { kind, unit, found, limit });
        }
    }
    Ok(())
}

/// An error of the parser, with the place in the schema that it is about where that can be found.
pub(crate) fn explain(schema: &Value, message: &str) -> GrammarError {
    if let Some(keys) = message.split("Unimplemented keys: ").nth(1) {
        let keys: Vec<&str> = keys.split('"').skip(1).step_by(2).collect();
        let found = find(schema, &|members| keys.iter().all(|key| members.contains_key(*key)));
        let named: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        let problem =
            format!("{} cannot be enforced; leave it out, or check it afterwards", named.join(", "));
        return at(found.as_deref().unwrap_or("#"), problem);
    }
    if message.contains("oneOf constraints are not supported") {
        let found = find(schema, &|members| members.contains_key("oneOf"));
        let problem = "\"oneOf\" whose alternatives may overlap cannot be enforced; \"anyOf\" can";
        return at(found.as_deref().unwrap_or("#"), problem);
    }
    GrammarError::source("JSON schema", message)
}

/// Checks what OpenAI's `strict` asks of a schema: its root is an object, and every object lists all its properties as
/// required and allows no others.
///
/// # Errors
/// The first place that is otherwise.
pub fn check_strict(schema: &Value) -> Result<(), GrammarError> {
    measure(schema, &GrammarLimits::default())?;
    if schema.get("type") != Some(&Value::from("object")) {
        return Err(at("#", "strict needs \"type\": \"object\" at the root"));
    }
    let mut problem = None;
    find(schema, &|members| loose(members).is_some())
        .map(|pointer| {
            problem = schema.pointer(&pointer[1..]).and_then(Value::as_object).and_then(loose);
            pointer
        })
        .map_or(Ok(()), |pointer| Err(at(&pointer, problem.unwrap_or_default())))
}

/// What makes an object schema not strict.
fn loose(members: &serde_json::Map<String, Value>) -> Option<String> {
    let is_object = match members.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => members.contains_key("properties"),
    };
    if !is_object {
        return None;
    }
    if members.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Some("strict needs \"additionalProperties\": false for every object".to_owned());
    }
    let required = members.get("required").and_then(Value::as_array);
    let is_required = |key: &str| required.is_some_and(|names| names.iter().any(|name| name == key));
    let optional = members.get("properties")?.as_object()?.keys().find(|key| !is_required(key))?;
    Some(format!(
        "strict needs every property in \"required\", and \"{optional}\" is not; let its type be null too where it \
         may be absent"
    ))
}

/// The pointer of the first schema inside `schema`, itself included, whose members are so. The nesting is bounded.
fn find(schema: &Value, wanted: &dyn Fn(&serde_json::Map<String, Value>) -> bool) -> Option<String> {
    fn visit(
        schema: &Value,
        pointer: &str,
        wanted: &dyn Fn(&serde_json::Map<String, Value>) -> bool,
    ) -> Option<String> {
        let members = match schema {
            Value::Object(members) => members,
            Value::Array(items) => {
                return items
                    .iter()
                    .enumerate()
                    .find_map(|(index, item)| visit(item, &format!("{pointer}/{index}"), wanted));
            }
            _ => return None,
        };
        if wanted(members) {
            return Some(pointer.to_owned());
        }
        members.iter().find_map(|(key, value)| {
            let here = format!("{pointer}/{}", escape(key));
            if SCHEMAS.contains(&key.as_str()) {
                visit(value, &here, wanted)
            } else if MAPS.contains(&key.as_str()) {
                let map = value.as_object()?;
                map.iter().find_map(|(key, value)| visit(value, &format!("{here}/{}", escape(key)), wanted))
            } else {
                None
            }
        })
    }
    visit(schema, "#", wanted)
}

/// A key in a JSON pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn at(pointer: &str, problem: impl Into<String>) -> GrammarError {
    GrammarError::Schema { pointer: pointer.to_owned(), problem: problem.into() }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
