//! Arguments as Python's keyword arguments and as Gemma's objects.

use serde_json::Value;

use super::schema::{json_rule, properties, property_schema};
use super::writer::Writer;
use crate::syntax::{GEMMA_QUOTE, LiteralSyntax};
use crate::tools::ArgumentKind;

/// Objects in objects that are followed by their schema; deeper ones are free.
const DEEPEST_SCHEMA: usize = 8;

impl Writer<'_> {
    /// The arguments in their brackets.
    pub(super) fn literals(&mut self, syntax: LiteralSyntax, parameters: &Value) -> String {
        match syntax {
            LiteralSyntax::Python => {
                let items = self.python_items(parameters);
                format!("\"(\" {items} \")\"")
            }
            LiteralSyntax::Gemma => self.gemma_object(parameters, parameters, 0),
        }
    }

    fn python_items(&mut self, parameters: &Value) -> String {
        let named = properties(parameters);
        if named.is_empty() && parameters.get("properties").is_none() {
            let value = "(%json {} | \"True\" | \"False\" | \"None\")";
            let item = self.rule("item", &format!("/[a-zA-Z_][a-zA-Z0-9_]{{0,63}}/ \"=\" {value}"));
            return format!("({item} (\", \" {item})*)?");
        }
        let mut items = Vec::new();
        for (name, schema, required) in named {
            let value = python_value(parameters, schema);
            let item = self.rule("item", &format!("{} {value}", self.literal(&format!("{name}="))));
            items.push((item, required));
        }
        self.separated(&items, "\", \"")
    }

    /// Items between separators, of which the required ones come first.
    fn separated(&mut self, items: &[(String, bool)], separator: &str) -> String {
        let (required, optional): (Vec<_>, Vec<_>) = items.iter().partition(|(_, required)| *required);
        let optional: Vec<&String> = optional.into_iter().map(|(item, _)| item).collect();
        // What may follow an item: each of the optional ones from the given one on.
        let mut tails = vec![String::new(); optional.len() + 1];
        for index in (0..optional.len()).rev() {
            let body = format!("({separator} {})? {}", optional[index], tails[index + 1]);
            tails[index] = self.rule("tail", &body);
        }
        if required.is_empty() {
            let firsts: Vec<String> =
                optional.iter().zip(&tails[1..]).map(|(item, tail)| format!("{item} {tail}")).collect();
            return if firsts.is_empty() { String::new() } else { format!("({})?", firsts.join(" | ")) };
        }
        let first: Vec<&str> = required.iter().map(|(item, _)| item.as_str()).collect();
        format!("{} {}", first.join(&format!(" {separator} ")), tails[0])
    }

    fn gemma_object(&mut self, root: &Value, schema: &Value, depth: usize) -> String {
        let named = properties(schema);
        if named.is_empty() || depth > DEEPEST_SCHEMA {
            let is_empty = depth == 0 && schema.get("properties").is_some();
            if is_empty {
                return "\"{}\"".to_owned();
            }
            return self.free_object();
        }
        let mut items = Vec::new();
        for (name, schema, required) in named {
            let key = self.literal(&format!("{name}:"));
            let value = self.gemma_value(root, schema, depth + 1);
            items.push((self.rule("item", &format!("{key} {value}")), required));
        }
        let items = self.separated(&items, "\",\"");
        format!("\"{{\" {items} \"}}\"")
    }

    fn gemma_value(&mut self, root: &Value, schema: &Value, depth: usize) -> String {
        if let Some(values) = schema["enum"].as_array().filter(|values| values.iter().all(Value::is_string)) {
            let quote = self.literal(GEMMA_QUOTE);
            let spelled: Vec<String> = values
                .iter()
                .map(|value| format!("{quote} {} {quote}", self.literal(value.as_str().unwrap_or(""))))
                .collect();
            return format!("({})", spelled.join(" | "));
        }
        match &schema["type"] {
            Value::String(kind) => match kind.as_str() {
                "string" => self.gemma_text(),
                "object" => self.gemma_object(root, schema, depth),
                "array" if schema["items"].is_object() && depth <= DEEPEST_SCHEMA => {
                    let item = self.gemma_value(root, &schema["items"], depth + 1);
                    let item = self.rule("item", &item);
                    format!("\"[\" ({item} (\",\" {item})*)? \"]\"")
                }
                "array" => self.free_value(),
                _ => json_rule(&property_schema(root, schema)),
            },
            _ => self.free_value(),
        }
    }

    fn gemma_text(&mut self) -> String {
        let quote = self.literal(GEMMA_QUOTE);
        format!("{quote} {}", self.text_up_to(GEMMA_QUOTE))
    }

    fn free_object(&mut self) -> String {
        self.free_value();
        "free_object".to_owned()
    }

    /// Any value in Gemma's notation.
    fn free_value(&mut self) -> String {
        if !std::mem::replace(&mut self.free_value, true) {
            let text = self.gemma_text();
            self.rules.push_str(&format!(
                "free_value: {text} | %json {{\"type\": [\"number\", \"boolean\", \"null\"]}} | free_object | \"[\" \
                 (free_value (\",\" free_value)*)? \"]\"\n\
                 free_object: \"{{\" (free_item (\",\" free_item)*)? \"}}\"\n\
                 free_item: /[a-zA-Z_][a-zA-Z0-9_]{{0,63}}/ \":\" free_value\n"
            ));
        }
        "free_value".to_owned()
    }
}

/// A value of an argument: JSON, but Python's words.
fn python_value(parameters: &Value, schema: &Value) -> String {
    let json = json_rule(&property_schema(parameters, schema));
    match ArgumentKind::of_schema(schema) {
        ArgumentKind::Text => json,
        ArgumentKind::Json(types) => match types.as_slice() {
            [one] if one == "boolean" => "(\"True\" | \"False\")".to_owned(),
            [] => format!("({json} | \"True\" | \"False\" | \"None\")"),
            kinds => {
                let none = if kinds.iter().any(|name| name == "null") { " | \"None\"" } else { "" };
                format!("({json}{none})")
            }
        },
    }
}
