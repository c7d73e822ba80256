//! Writes the rules of a grammar.

use crate::json_text::quoted;
use crate::syntax::IdRule;
use crate::tokens::{ControlTokens, TextPart};

/// Space between what stands before an answer and the answer.
const SPACE: &str = "SPACE: /[ \\n]{1,4}/\n";

/// Writes rules.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(super) tokens: &'a ControlTokens,
    pub(super) rules: String,
    count: usize,
    /// Rules for text up to a marker: the marker and the rule's name.
    texts: Vec<(String, String)>,
    /// Whether Gemma's free value is written.
    pub(super) free_value: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(tokens: &'a ControlTokens) -> Writer<'a> {
        Writer { tokens, rules: String::new(), count: 0, texts: Vec::new(), free_value: false }
    }

    /// The grammar that begins with this rule.
    pub(super) fn grammar(&self, start: &str) -> String {
        format!("start: {start}\n{SPACE}{}", self.rules)
    }

    /// Adds a rule, gives its name.
    pub(super) fn rule(&mut self, kind: &str, body: &str) -> String {
        let name = format!("{kind}_{}", self.count);
        self.count += 1;
        self.rules.push_str(&format!("{name}: {body}\n"));
        name
    }

    /// A fixed text.
    pub(super) fn literal(&self, text: &str) -> String {
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
    pub(super) fn text_up_to(&mut self, marker: &str) -> String {
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

pub(super) fn id_pattern(rule: IdRule) -> &'static str {
    match rule {
        IdRule::Nine => "/[a-zA-Z0-9]{9}/",
        IdRule::TenLower => "/[a-z0-9]{10}/",
    }
}

/// A text that stands for itself in a regular expression.
pub(super) fn regex(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$/".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// A text as a Lark string, which is JSON's; they do not hold DEL as it is.
pub(super) fn lark_string(text: &str) -> String {
    if text.is_empty() { String::new() } else { quoted(text).replace('\u{7f}', "\\u007f") }
}
