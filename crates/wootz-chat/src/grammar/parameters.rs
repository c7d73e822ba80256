//! Arguments that are marked one by one.

use serde_json::Value;

use super::schema::{json_rule, properties, property_schema};
use super::writer::Writer;
use crate::syntax::{ParameterSyntax, Typing};
use crate::tools::ArgumentKind;

impl Writer<'_> {
    /// The arguments in the order of the schema; those that are not required may be left out.
    pub(super) fn parameters(&mut self, syntax: &ParameterSyntax, parameters: &Value) -> String {
        let named = properties(parameters);
        if named.is_empty() {
            return self.free_parameters(syntax, parameters);
        }
        let mut parts = Vec::new();
        for (name, schema, required) in named {
            let begin = format!("{}{name}{}", syntax.open, syntax.key_end);
            let kind = ArgumentKind::of_schema(schema);
            let attribute = match syntax.typing {
                Typing::Schema => String::new(),
                Typing::StringFlag(end) => format!("{}{end}", takes_text(&kind)),
                Typing::TypeName(end) => format!("{}{end}", type_name(&kind)),
            };
            let head = format!("{begin}{attribute}{}{}{}", syntax.gap, syntax.value_begin, syntax.padding);
            let head = self.literal(&head);
            let value = self.value(syntax, parameters, schema, &kind);
            let rule = self.rule("argument", &format!("{head} {value} {}", self.literal(syntax.after)));
            parts.push(if required { rule } else { format!("{rule}?") });
        }
        parts.join(" ")
    }

    /// The value and what closes it.
    fn value(
        &mut self,
        syntax: &ParameterSyntax,
        parameters: &Value,
        schema: &Value,
        kind: &ArgumentKind,
    ) -> String {
        let close = format!("{}{}", syntax.padding, syntax.close);
        let strings = schema["enum"].as_array().filter(|_| takes_text(kind));
        match strings {
            Some(values) if !values.is_empty() => {
                let spell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let spelled: Vec<String> = values.iter().map(|value| self.literal(&spell(value))).collect();
                format!("({}) {}", spelled.join(" | "), self.literal(&close))
            }
            _ if takes_text(kind) => self.text_up_to(&close),
            _ => {
                format!("{} {}", json_rule(&property_schema(parameters, schema)), self.literal(&close))
            }
        }
    }

    /// Arguments of a tool whose schema names none: anything, unless it says that there are none.
    fn free_parameters(&mut self, syntax: &ParameterSyntax, parameters: &Value) -> String {
        let is_closed = parameters.get("properties").is_some() || parameters["additionalProperties"] == false;
        if is_closed {
            return String::new();
        }
        let open = self.literal(syntax.open);
        let attribute = match syntax.typing {
            Typing::Schema => String::new(),
            Typing::StringFlag(end) => format!("true{end}"),
            Typing::TypeName(end) => format!("string{end}"),
        };
        let middle =
            format!("{}{attribute}{}{}{}", syntax.key_end, syntax.gap, syntax.value_begin, syntax.padding);
        let middle = self.literal(&middle);
        let value = self.text_up_to(&format!("{}{}", syntax.padding, syntax.close));
        let after = self.literal(syntax.after);
        let rule =
            self.rule("argument", &format!("{open} /[a-zA-Z0-9_.-]{{1,64}}/ {middle} {value} {after}"));
        format!("{rule}*")
    }
}

/// Whether a value may be a text: then it is written as one.
pub(super) fn takes_text(kind: &ArgumentKind) -> bool {
    match kind {
        ArgumentKind::Text => true,
        ArgumentKind::Json(types) => types.iter().any(|name| name == "string"),
    }
}

fn type_name(kind: &ArgumentKind) -> &str {
    match kind {
        ArgumentKind::Json(types) if !takes_text(kind) => match types.first().map(String::as_str) {
            Some("integer") => "number",
            Some(name) => name,
            None => "object",
        },
        _ => "string",
    }
}
