//! Schemas of arguments, as grammars need them.

use serde_json::{Map, Value, json};

use crate::tools::{ArgumentKind, Strictness, ToolDefinition};

/// A value that satisfies the schema, with the spaces that models write.
pub(super) fn json_rule(schema: &Value) -> String {
    let mut schema = schema.clone();
    if let Value::Object(members) = &mut schema {
        let style = json!({
            "item_separator": ", ",
            "key_separator": ": ",
            "whitespace_flexible": false,
        });
        members.insert("x-guidance".to_owned(), style);
    }
    format!("%json {schema}")
}

/// The schema of arguments: always an object, of the named members only unless it says otherwise.
pub(super) fn object_schema(parameters: &Value) -> Value {
    match parameters {
        Value::Object(members) if !members.is_empty() => {
            let mut members = members.clone();
            members.entry("type").or_insert(json!("object"));
            if members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            Value::Object(members)
        }
        _ => json!({ "type": "object" }),
    }
}

/// The schema of one argument, with the definitions that it may refer to.
pub(super) fn property_schema(parameters: &Value, schema: &Value) -> Value {
    let mut members = match schema {
        Value::Object(members) => members.clone(),
        _ => Map::new(),
    };
    for key in ["$defs", "definitions"] {
        if let Some(definitions) = parameters.get(key) {
            members.entry(key).or_insert_with(|| definitions.clone());
        }
    }
    Value::Object(members)
}

/// The arguments that a schema names: name, schema, whether it is required.
pub(super) fn properties(parameters: &Value) -> Vec<(&str, &Value, bool)> {
    let required = |name: &str| {
        let names = parameters["required"].as_array();
        names.is_some_and(|names| names.iter().any(|known| known == name))
    };
    let members = parameters["properties"].as_object();
    let all = members.into_iter().flatten();
    all.map(|(name, schema)| (name.as_str(), schema, required(name))).collect()
}

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "null", "array", "object"];

/// The tool with a schema that names the arguments and their types only, unless it is strict.
pub(super) fn as_strict_as_asked(tool: &ToolDefinition) -> ToolDefinition {
    let mut tool = tool.clone();
    if tool.strictness == Strictness::Loose {
        tool.parameters = loosened(&tool.parameters);
    }
    tool
}

fn loosened(parameters: &Value) -> Value {
    let mut members = Map::new();
    for (name, schema, _) in properties(parameters) {
        let mut types = match ArgumentKind::of_schema(schema) {
            ArgumentKind::Text => vec!["string".to_owned()],
            ArgumentKind::Json(types) => types,
        };
        types.sort();
        types.dedup();
        types.retain(|name| TYPES.contains(&name.as_str()));
        let schema = if types.is_empty() { json!({}) } else { json!({ "type": types }) };
        members.insert(name.to_owned(), schema);
    }
    if members.is_empty() {
        return json!({ "type": "object" });
    }
    json!({ "type": "object", "properties": members, "additionalProperties": true })
}

/// A schema that is to stand inside another, at this pointer: its references begin there.
pub(super) fn moved(schema: &Value, pointer: &str) -> Value {
    match schema {
        Value::Object(members) => {
            let moved_member = |(key, value): (&String, &Value)| match value {
                Value::String(target) if key == "$ref" && target.starts_with('#') => {
                    (key.clone(), Value::from(format!("{pointer}{}", &target[1..])))
                }
                _ => (key.clone(), moved(value, pointer)),
            };
            members.iter().map(moved_member).collect()
        }
        Value::Array(items) => items.iter().map(|item| moved(item, pointer)).collect(),
        other => other.clone(),
    }
}

/// The schema of a JSON value that is of any of the schemas.
pub(super) fn any_of(schemas: &[Value]) -> Value {
    let moved = schemas.iter().enumerate().map(|(index, schema)| {
        let mut schema = moved(schema, &format!("#/anyOf/{index}"));
        if let Value::Object(members) = &mut schema {
            // They are about a whole document.
            members.remove("$schema");
            members.remove("$id");
        }
        schema
    });
    json!({ "anyOf": moved.collect::<Vec<_>>() })
}

/// The schema of a call that is a JSON object.
pub(super) fn call_schema(name_key: &str, arguments_key: &str, tool: &ToolDefinition) -> Value {
    let place = format!("#/properties/{arguments_key}");
    json!({
        "type": "object",
        "properties": {
            name_key: { "const": tool.name },
            arguments_key: moved(&object_schema(&tool.parameters), &place),
        },
        "required": [name_key, arguments_key],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_move_along() {
        let schema = json!({"$defs": {"a": {"items": {"$ref": "#"}}}, "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "x"}]});
        let moved = any_of(&[json!(true), schema]);
        assert_eq!(moved["anyOf"][1]["$defs"]["a"]["items"]["$ref"], "#/anyOf/1");
        assert_eq!(moved["anyOf"][1]["anyOf"][0]["$ref"], "#/anyOf/1/$defs/a");
        assert_eq!(moved["anyOf"][1]["anyOf"][1]["$ref"], "x");
    }

    #[test]
    fn loose_tools_keep_names_and_types() {
        let parameters = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "not": {"const": "x"}}, "b": {"enum": [1, null, 2]}, "c": {"type": "odd"}}});
        assert_eq!(
            loosened(&parameters),
            json!({"type": "object", "additionalProperties": true, "properties": {
                "a": {"type": ["string"]}, "b": {"type": ["null", "number"]}, "c": {}}})
        );
        assert_eq!(loosened(&Value::Null), json!({"type": "object"}));
    }
}
