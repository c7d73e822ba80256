//! Calls in a format's own syntax, as its models write them.

use serde_json::{Map, Value};

use crate::format::ChatFormat;
use crate::json_text::quoted;
use crate::syntax::{
    CallSyntax, GEMMA_QUOTE, IdRule, JsonKeys, LiteralSyntax, ParameterSyntax, Piece, Several, Typing,
};

/// A call to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenCall {
    /// The name of the tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

impl ChatFormat {
    /// Calls in the format's own syntax, as its models write them.
    pub fn write_calls(&self, calls: &[WrittenCall]) -> String {
        render(self.calls, calls)
    }
}

/// The calls, from opener to closer.
pub(crate) fn render(syntax: &CallSyntax, calls: &[WrittenCall]) -> String {
    let written: Vec<String> =
        calls.iter().enumerate().map(|(index, call)| render_call(syntax, index, call)).collect();
    let CallSyntax { opener, before, after, closer, separator, .. } = syntax;
    let section = |inside: &str| format!("{opener}{before}{inside}{after}{closer}");
    match syntax.several {
        Several::InSections => {
            let sections: Vec<String> = written.iter().map(|call| section(call)).collect();
            sections.join(separator)
        }
        // A bare call needs no opener.
        Several::Never if syntax.bare == crate::syntax::Bare::Json => written.join("; "),
        _ => section(&written.join(separator)),
    }
}

fn render_call(syntax: &CallSyntax, index: usize, call: &WrittenCall) -> String {
    let mut out = String::new();
    for piece in syntax.call {
        match piece {
            Piece::Text(text) | Piece::Space(text) => out.push_str(text),
            Piece::Name => out.push_str(&call.name),
            Piece::QualifiedName => out.push_str(&format!("functions.{}:{index}", call.name)),
            Piece::Id(rule) => out.push_str(&id(*rule, index)),
            Piece::MarkedId(marker, rule) => {
                out.push_str(marker);
                out.push_str(&id(*rule, index));
            }
            Piece::Count => out.push_str(&(index + 1).to_string()),
            Piece::Json => out.push_str(&spaced(&call.arguments)),
            Piece::JsonCall(keys) => out.push_str(&render_json_call(*keys, index, call)),
            Piece::Parameters(parameters) => render_parameters(parameters, &call.arguments, &mut out),
            Piece::Literals(literals) => render_literals(*literals, &call.arguments, &mut out),
        }
    }
    out
}

fn id(rule: IdRule, index: usize) -> String {
    match rule {
        IdRule::Nine => format!("call{index:05}"),
        IdRule::TenLower => format!("call{index:06}"),
    }
}

fn render_json_call(keys: JsonKeys, index: usize, call: &WrittenCall) -> String {
    let json = spaced(&call.arguments);
    match keys {
        JsonKeys::NameIsKey => format!("{{{}: {json}}}", quoted(&call.name)),
        JsonKeys::Keyed { id, name, arguments } => {
            let id = id.map_or(String::new(), |id| format!("\"{id}\": \"{index}\", "));
            format!("{{{id}\"{name}\": {}, \"{arguments}\": {json}}}", quoted(&call.name))
        }
    }
}

fn render_parameters(syntax: &ParameterSyntax, arguments: &Map<String, Value>, out: &mut String) {
    let ParameterSyntax { open, key_end, gap, value_begin, padding, close, after, .. } = syntax;
    for (key, value) in arguments {
        let (text, type_name) = match value {
            Value::String(text) => (text.clone(), "string"),
            Value::Bool(_) => (value.to_string(), "boolean"),
            Value::Number(_) => (value.to_string(), "number"),
            Value::Null => (value.to_string(), "null"),
            Value::Array(_) => (spaced_value(value), "array"),
            Value::Object(_) => (spaced_value(value), "object"),
        };
        out.push_str(&format!("{open}{key}{key_end}"));
        match syntax.typing {
            Typing::Schema => {}
            Typing::StringFlag(end) => out.push_str(&format!("{}{end}", value.is_string())),
            Typing::TypeName(end) => out.push_str(&format!("{type_name}{end}")),
        }
        out.push_str(&format!("{gap}{value_begin}{padding}{text}{padding}{close}{after}"));
    }
}

fn render_literals(syntax: LiteralSyntax, arguments: &Map<String, Value>, out: &mut String) {
    match syntax {
        LiteralSyntax::Python => {
            let items: Vec<String> =
                arguments.iter().map(|(key, value)| format!("{key}={}", python(value))).collect();
            out.push_str(&format!("({})", items.join(", ")));
        }
        LiteralSyntax::Gemma => {
            out.push_str(&gemma_object(arguments));
        }
    }
}

fn python(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => spaced_value(other),
    }
}

fn gemma_object(members: &Map<String, Value>) -> String {
    let items: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{}", gemma(value))).collect();
    format!("{{{}}}", items.join(","))
}

fn gemma(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{GEMMA_QUOTE}{text}{GEMMA_QUOTE}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(gemma).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => gemma_object(members),
        other => other.to_string(),
    }
}

/// JSON with a space after commas and colons, as Python writes it and models were trained on.
fn spaced(members: &Map<String, Value>) -> String {
    let items: Vec<String> =
        members.iter().map(|(key, value)| format!("{}: {}", quoted(key), spaced_value(value))).collect();
    format!("{{{}}}", items.join(", "))
}

fn spaced_value(value: &Value) -> String {
    match value {
        Value::Object(members) => spaced(members),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(spaced_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}
