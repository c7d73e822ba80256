//! Calls, and sections of calls.

use super::schema::{json_rule, object_schema};
use super::writer::{Writer, id_pattern};
use crate::json_text::quoted;
use crate::syntax::{Bare, CallSyntax, JsonKeys, Piece, Several};
use crate::tools::{Parallel, ToolDefinition};

impl Writer<'_> {
    /// All calls of an answer, from the first marker on.
    pub(super) fn calls(
        &mut self,
        syntax: &CallSyntax,
        tools: &[ToolDefinition],
        parallel: Parallel,
    ) -> String {
        let marker = if syntax.bare == Bare::Json { "" } else { syntax.markers().next().unwrap_or("") };
        let section = self.section(syntax, tools, parallel, marker);
        let many = parallel == Parallel::Many && syntax.several != Several::Never;
        if many && (syntax.several == Several::InSections || syntax.opener.is_empty()) {
            let section = self.rule("section", &section);
            format!("{section} ({} {section})*", self.literal(syntax.separator))
        } else {
            section
        }
    }

    /// One section of calls, or one call where calls stand by themselves. Of its marker so much is still to be written.
    pub(super) fn section(
        &mut self,
        syntax: &CallSyntax,
        tools: &[ToolDefinition],
        parallel: Parallel,
        marker: &str,
    ) -> String {
        // A call that begins with the marker goes on after it.
        let is_of_call = syntax.opener.is_empty() && matches!(syntax.call.first(), Some(Piece::Text(_)));
        let pieces = &syntax.call[usize::from(is_of_call)..];
        let calls: Vec<String> = tools.iter().map(|tool| self.call(pieces, tool)).collect();
        let call = self.rule("call", &calls.join(" | "));
        let many = parallel == Parallel::Many
            && syntax.several == Several::InOneSection
            && !syntax.opener.is_empty();
        let more = if many { format!("({} {call})*", self.literal(syntax.separator)) } else { String::new() };
        let open = [self.literal(marker), self.literal(syntax.before)].join(" ");
        let close = [self.literal(syntax.after), self.literal(syntax.closer)].join(" ");
        format!("{open} {call} {more} {close}")
    }

    /// The alternative of one tool.
    fn call(&mut self, pieces: &[Piece], tool: &ToolDefinition) -> String {
        let mut parts = Vec::new();
        for piece in pieces {
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
}
