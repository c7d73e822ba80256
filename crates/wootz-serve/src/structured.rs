//! Structured output: every way of asking for it becomes one grammar.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use wootz_grammar::{GrammarSource, check_strict};

use crate::json::{Refusal, kind};

/// The parameters that limit what an answer may be. At most one of them may be given.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct StructuredOptions {
    /// The form of the answer: any text, any JSON object, or JSON of a schema. Always enforced.
    pub response_format: Option<ResponseFormat>,
    /// A JSON schema (an object, or its text) that the answer follows.
    #[schema(value_type = Option<Object>)]
    pub guided_json: Option<Value>,
    /// A regular expression that the whole answer matches.
    pub guided_regex: Option<String>,
    /// The texts of which the answer is one.
    pub guided_choice: Option<Vec<String>>,
    /// A grammar that the answer follows: Lark, or GBNF as llama.cpp has it (told apart by `::=`).
    pub guided_grammar: Option<String>,
    /// The same under one name.
    pub structured_outputs: Option<StructuredOutputs>,
    /// A grammar in llama.cpp's GBNF, under the name that its server has for it.
    pub grammar: Option<String>,
    /// A JSON schema, under the name that llama.cpp's server has for it.
    #[schema(value_type = Option<Object>)]
    pub json_schema: Option<Value>,
}

/// What form an answer has.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// A JSON object, or JSON of a schema where there is one.
    JsonObject {
        /// A JSON schema that the object follows.
        #[schema(value_type = Option<Object>)]
        schema: Option<Value>,
    },
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema and its name.
        json_schema: NamedSchema,
    },
    /// Text that matches a regular expression.
    Regex {
        /// The expression.
        pattern: String,
    },
    /// Text that follows a grammar.
    Grammar {
        /// The grammar: Lark or GBNF.
        grammar: String,
    },
}

/// A JSON schema with a name.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
pub struct NamedSchema {
    /// What the schema is called: letters, digits, `_`, `-`, at most 64.
    pub name: Option<String>,
    /// What it is for. The model does not see it.
    pub description: Option<String>,
    /// The schema. Without one, any JSON object.
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Value>,
    /// The answer always follows the schema. If this is true, the schema must also be one that OpenAI calls strict: each
    /// object requires all its properties and allows no others.
    pub strict: Option<bool>,
}

/// Structured output as vLLM names it.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StructuredOutputs {
    /// A JSON schema (an object, or its text).
    #[schema(value_type = Option<Object>)]
    pub json: Option<Value>,
    /// A regular expression.
    pub regex: Option<String>,
    /// Texts of which the answer is one.
    pub choice: Option<Vec<String>>,
    /// A grammar: Lark or GBNF.
    pub grammar: Option<String>,
    /// Any JSON object.
    pub json_object: Option<bool>,
}

impl StructuredOptions {
    /// The grammar that the answer follows, and the parameter that asks for it; `None`: it is free.
    ///
    /// # Errors
    /// More than one of the parameters, or a value that says nothing.
    pub fn grammar(&self) -> Result<Option<(&'static str, GrammarSource)>, Refusal> {
        let mut wanted: Vec<(&'static str, GrammarSource)> = Vec::new();
        if let Some(format) = &self.response_format
            && let Some(source) = format.grammar()?
        {
            wanted.push(("response_format", source));
        }
        let schemas = [("guided_json", &self.guided_json), ("json_schema", &self.json_schema)];
        for (name, value) in schemas {
            if let Some(value) = value {
                wanted.push((name, schema(name, value)?));
            }
        }
        if let Some(pattern) = &self.guided_regex {
            wanted.push(("guided_regex", GrammarSource::Regex(pattern.clone())));
        }
        if let Some(choices) = &self.guided_choice {
            wanted.push(("guided_choice", choice("guided_choice", choices)?));
        }
        if let Some(text) = &self.guided_grammar {
            wanted.push(("guided_grammar", written(text)));
        }
        if let Some(text) = &self.grammar {
            wanted.push(("grammar", written(text)));
        }
        if let Some(outputs) = &self.structured_outputs {
            wanted.extend(outputs.grammars()?);
        }
        if let [(first, _), (second, _), ..] = wanted.as_slice() {
            let message =
                format!("{first} and {second} both say what the answer may be: give one of them only");
            return Err(Refusal::of(*second, message));
        }
        Ok(wanted.pop())
    }
}

impl ResponseFormat {
    fn grammar(&self) -> Result<Option<GrammarSource>, Refusal> {
        Ok(match self {
            ResponseFormat::Text => None,
            ResponseFormat::JsonObject { schema: None } => Some(GrammarSource::JsonObject),
            ResponseFormat::JsonObject { schema: Some(value) } => {
                Some(schema("response_format.schema", value)?)
            }
            ResponseFormat::JsonSchema { json_schema } => Some(json_schema.grammar()?),
            ResponseFormat::Regex { pattern } => Some(GrammarSource::Regex(pattern.clone())),
            ResponseFormat::Grammar { grammar } => Some(written(grammar)),
        })
    }
}

impl NamedSchema {
    fn grammar(&self) -> Result<GrammarSource, Refusal> {
        if let Some(name) = &self.name {
            check_name("response_format.json_schema.name", name)?;
        }
        match &self.schema {
            None => Ok(GrammarSource::JsonObject),
            Some(value) => {
                let param = "response_format.json_schema.schema";
                if self.strict == Some(true) {
                    check_strict(value).map_err(|error| Refusal::of(param, error.to_string()))?;
                }
                schema(param, value)
            }
        }
    }
}

impl StructuredOutputs {
    fn grammars(&self) -> Result<Vec<(&'static str, GrammarSource)>, Refusal> {
        let mut wanted = Vec::new();
        if let Some(value) = &self.json {
            wanted.push(("structured_outputs.json", schema("structured_outputs.json", value)?));
        }
        if let Some(pattern) = &self.regex {
            wanted.push(("structured_outputs.regex", GrammarSource::Regex(pattern.clone())));
        }
        if let Some(choices) = &self.choice {
            wanted.push(("structured_outputs.choice", choice("structured_outputs.choice", choices)?));
        }
        if let Some(text) = &self.grammar {
            wanted.push(("structured_outputs.grammar", written(text)));
        }
        if self.json_object == Some(true) {
            wanted.push(("structured_outputs.json_object", GrammarSource::JsonObject));
        }
        Ok(wanted)
    }
}

/// A name as OpenAI allows it for functions and schemas.
pub fn check_name(param: &str, name: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if !name.is_empty() && name.len() <= 128 && name.chars().all(allowed) {
        return Ok(());
    }
    let message = format!(
        "{param} is {name:?}: a name has 1 to 128 letters, digits, underscores, hyphens, dots, colons or slashes"
    );
    Err(Refusal::of(param, message))
}

/// A schema that may have been sent as text.
fn schema(param: &str, value: &Value) -> Result<GrammarSource, Refusal> {
    match value {
        Value::Object(_) | Value::Bool(_) => Ok(GrammarSource::JsonSchema(value.clone())),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(parsed @ (Value::Object(_) | Value::Bool(_))) => Ok(GrammarSource::JsonSchema(parsed)),
            Ok(other) => Err(Refusal::of(
                param,
                format!("{param} is the text of {}, not of a JSON schema", kind(&other)),
            )),
            Err(error) => Err(Refusal::of(param, format!("{param} is text that is no JSON schema: {error}"))),
        },
        other => Err(Refusal::of(param, format!("{param} is {}: a JSON schema is an object", kind(other)))),
    }
}

fn choice(param: &str, choices: &[String]) -> Result<GrammarSource, Refusal> {
    if choices.is_empty() {
        return Err(Refusal::of(param, format!("{param} is empty: name at least one text")));
    }
    Ok(GrammarSource::Choice(choices.to_vec()))
}

/// A grammar in one of two languages. GBNF's rules have `::=`, which means nothing in Lark.
fn written(text: &str) -> GrammarSource {
    if text.contains("::=") {
        GrammarSource::Gbnf(text.to_owned())
    } else {
        GrammarSource::Lark(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grammar(body: Value) -> Result<Option<GrammarSource>, Refusal> {
        serde_json::from_value::<StructuredOptions>(body)
            .unwrap()
            .grammar()
            .map(|grammar| grammar.map(|(_, source)| source))
    }

    #[test]
    fn each_way_of_asking_gives_its_grammar() {
        let schema = json!({"type": "object"});
        let wanted = Some(GrammarSource::JsonSchema(schema.clone()));
        let ways = [
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}),
            json!({"response_format": {"type": "json_object", "schema": schema}}),
            json!({"guided_json": schema}),
            json!({"guided_json": schema.to_string()}),
            json!({"structured_outputs": {"json": schema}}),
        ];
        for way in ways {
            assert_eq!(grammar(way).unwrap(), wanted);
        }
        assert_eq!(grammar(json!({"response_format": {"type": "text"}})).unwrap(), None);
        assert_eq!(
            grammar(json!({"response_format": {"type": "json_object"}})).unwrap(),
            Some(GrammarSource::JsonObject)
        );
        let gbnf = grammar(json!({"guided_grammar": "root ::= \"a\""})).unwrap();
        assert!(matches!(gbnf, Some(GrammarSource::Gbnf(_))));
        let lark = grammar(json!({"guided_grammar": "start: \"a\""})).unwrap();
        assert!(matches!(lark, Some(GrammarSource::Lark(_))));
    }

    #[test]
    fn two_ways_at_once_and_empty_ones_are_refused() {
        let refusal = grammar(json!({"guided_regex": "a", "guided_choice": ["a"]})).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("guided_choice"));
        assert!(grammar(json!({"guided_choice": []})).is_err());
        assert!(grammar(json!({"guided_json": 3})).is_err());
        assert!(grammar(json!({"guided_json": "{"})).is_err());
    }
}
