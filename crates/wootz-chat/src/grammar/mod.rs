//! The grammar of a format's calls, in llguidance's Lark: the same description that the parser reads.
//!
//! Names and arguments are the request's: each tool is an alternative with its own schema. Control tokens are named by
//! id. What is written is what [`crate::render`] writes: one spelling of the syntax, so that no token is spent on choice.

mod literals;
mod parameters;

use serde_json::{Map, Value, json};
use wootz_grammar::GrammarSource;

use crate::format::ChatFormat;
use crate::json_text::quoted;
use crate::syntax::{CallSyntax, IdRule, JsonKeys, Piece, Several};
use crate::tokens::{ControlTokens, TextPart};
use crate::tools::{Parallel, ToolChoice, ToolDefinition};

impl ChatFormat {
    /// The grammar of an answer that consists of calls: of at least one where a call is required, of the named tool
    /// where one is named. `None` where the model decides, and where the named tool is none of the tools.
    pub fn tool_grammar(
        &self,
        tools: &[ToolDefinition],
        choice: &ToolChoice,
        parallel: Parallel,
    ) -> Option<GrammarSource> {
        let chosen: Vec<&ToolDefinition> = match choice {
            ToolChoice::Auto | ToolChoice::None => return None,
            ToolChoice::Required => tools.iter().collect(),
            ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).collect(),
        };
        if chosen.is_empty() {
            return None;
        }
        Some(GrammarSource::Lark(Writer::new(&self.tokens).write(self.calls, &chosen, parallel)))
    }
}

/// Writes rules.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    tokens: &'a ControlTokens,
    rules: String,
    count: usize,
    /// Rules for text up to a marker: the marker and the rule's name.
    texts: Vec<(String, String)>,
    /// Whether Gemma's free value is written.
    free_value: bool,
}

impl<'a> Writer<'a> {
    fn new(tokens: &'a ControlTokens) -> Writer<'a> {
        Writer { tokens, rules: String::new(), count: 0, texts: Vec::new(), free_value: false }
    }

    fn write(mut self, syntax: &CallSyntax, tools: &[&ToolDefinition], parallel: Parallel) -> String {
        let calls: Vec<String> = tools.iter().map(|tool| self.call(syntax, tool)).collect();
        let call = self.rule("call", &calls.join(" | "));
        let one = syntax.several == Several::Never || parallel == Parallel::Single;
        let opener = if syntax.bare == crate::syntax::Bare::Json { "" } else { syntax.opener };
        let open = [self.literal(opener), self.literal(syntax.before)].join(" ");
        let close = [self.literal(syntax.after), self.literal(syntax.closer)].join(" ");
        let more = [self.literal(syntax.separator), call.clone()].join(" ");
        let body = match syntax.several {
            _ if one => format!("{open} {call} {close}"),
            Several::InSections => {
                let section = self.rule("section", &format!("{open} {call} {close}"));
                format!("{section} ({} {section})*", self.literal(syntax.separator))
            }
            _ => format!("{open} {call} ({more})* {close}"),
        };
        // What stands between the prompt's or the reasoning's end and the first call.
        let lead = match syntax.lead.trim() {
            "" => "SPACE?".to_owned(),
            lead => format!("({})?", self.literal(lead)),
        };
        format!("start: {lead} {body}\nSPACE: /[ \\n]{{1,4}}/\n{}", self.rules)
    }

    /// The alternative of one tool.
    fn call(&mut self, syntax: &CallSyntax, tool: &ToolDefinition) -> String {
        let mut parts = Vec::new();
        for piece in syntax.call {
            parts.push(match piece {
                Piece::Text(text) | Piece::Space(text) => self.literal(text),
                Piece::Name => self.literal(&tool.name),
                Piece::QualifiedName => {
                    format!("{} /[0-9]{{1,3}}/", self.literal(&format!("functions.{}:", tool.name)))
                }
                Piece::Id(rule) => id_pattern(*rule).to_owned(),
                Piece::MarkedId(marker, rule) => format!("{} {}", self.literal(marker), id_pattern(*rule)),
                Piece::Count => "/[1-9][0-9]{0,2}/".to_owned(),
                Piece::Json => json_rule(&object_schema(&tool.parameters)),
                Piece::JsonCall(keys) => self.json_call(*keys, tool),
                Piece::Parameters(parameters) => self.parameters(parameters, &tool.parameters),
                Piece::Literals(literals) => self.literals(*literals, &tool.parameters),
            });
        }
        self.rule("call", &parts.join(" "))
    }

    fn json_call(&mut self, keys: JsonKeys, tool: &ToolDefinition) -> String {
        let arguments = json_rule(&object_schema(&tool.parameters));
        let name = quoted(&tool.name);
        match keys {
            JsonKeys::NameIsKey => format!("{} {arguments} \"}}\"", self.literal(&format!("{{{name}: "))),
            JsonKeys::Keyed { id, name: name_key, arguments: arguments_key } => {
                let head = format!("\"{name_key}\": {name}, \"{arguments_key}\": ");
                let head = match id {
                    None => self.literal(&format!("{{{head}")),
                    Some(id) => {
                        let begin = self.literal(&format!("{{\"{id}\": \""));
                        format!("{begin} /[0-9]{{1,3}}/ {}", self.literal(&format!("\", {head}")))
                    }
                };
                format!("{head} {arguments} \"}}\"")
            }
        }
    }

    /// Adds a rule, gives its name.
    fn rule(&mut self, kind: &str, body: &str) -> String {
        let name = format!("{kind}_{}", self.count);
        self.count += 1;
        self.rules.push_str(&format!("{name}: {body}\n"));
        name
    }

    /// A fixed text.
    fn literal(&self, text: &str) -> String {
        let parts: Vec<String> = self
            .tokens
            .split(text)
            .into_iter()
            .map(|part| match part {
                TextPart::Text(text) => lark_string(text),
                TextPart::Token(id) => format!("<[{id}]>"),
            })
            .collect();
        parts.join(" ")
    }

    /// Any text up to the marker, and the marker.
    fn text_up_to(&mut self, marker: &str) -> String {
        if let Some((_, name)) = self.texts.iter().find(|(known, _)| known == marker) {
            return name.clone();
        }
        let name = match self.tokens.split(marker).first() {
            // A control token cannot be part of the text.
            Some(TextPart::Token(_)) => {
                let marker = self.literal(marker);
                self.rule("text", &format!("/(.|\\n)*/ {marker}"))
            }
            // The text before the token must not be what the marker begins with.
            Some(TextPart::Text(first)) if *first != marker => {
                let first = first.chars().next().unwrap_or('<');
                let marker = self.literal(marker);
                self.rule("text", &format!("/[^{first}]*/ {marker}"))
            }
            _ => {
                let name = format!("text_{}", self.count);
                self.count += 1;
                self.rules.push_str(&format!("{name}[suffix={}]: /(.|\\n)*/\n", lark_string(marker)));
                name
            }
        };
        self.texts.push((marker.to_owned(), name.clone()));
        name
    }
}

fn id_pattern(rule: IdRule) -> &'static str {
    match rule {
        IdRule::Nine => "/[a-zA-Z0-9]{9}/",
        IdRule::TenLower => "/[a-z0-9]{10}/",
    }
}

/// A text as a Lark string, which is JSON's; they do not hold DEL as it is.
fn lark_string(text: &str) -> String {
    if text.is_empty() { String::new() } else { quoted(text).replace('\u{7f}', "\\u007f") }
}

/// A value that satisfies the schema, with the spaces that models write.
fn json_rule(schema: &Value) -> String {
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
fn object_schema(parameters: &Value) -> Value {
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
fn property_schema(parameters: &Value, schema: &Value) -> Value {
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
fn properties(parameters: &Value) -> Vec<(&str, &Value, bool)> {
    let required = |name: &str| {
        let names = parameters["required"].as_array();
        names.is_some_and(|names| names.iter().any(|known| known == name))
    };
    let members = parameters["properties"].as_object();
    let all = members.into_iter().flatten();
    all.map(|(name, schema)| (name.as_str(), schema, required(name))).collect()
}
