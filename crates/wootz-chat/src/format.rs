//! A model's way to write its answers.

use std::borrow::Cow;

use crate::ids::IdStyle;
use crate::parser::{OutputParser, ParserSettings};
use crate::prepare::TemplateTraits;
use crate::syntax::{CallSyntax, Layout, Piece, ReasoningSyntax, is_control};
use crate::tokens::ControlTokens;

/// The text around reasoning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasoningMarkers {
    /// Before it.
    pub begin: String,
    /// After it.
    pub end: String,
    /// What to write when the budget is spent: ends the reasoning and leads on to the answer.
    pub forced_end: String,
}

/// How a model writes reasoning and tool calls.
#[derive(Debug, Clone)]
pub struct ChatFormat {
    pub(crate) name: &'static str,
    pub(crate) layout: Layout,
    pub(crate) reasoning: Option<ReasoningSyntax>,
    /// Markers that belong to no text.
    pub(crate) frames: &'static [&'static str],
    pub(crate) calls: &'static CallSyntax,
    pub(crate) ids: IdStyle,
    /// Markers that are control tokens.
    pub(crate) tokens: ControlTokens,
    pub(crate) traits: TemplateTraits,
}

impl ChatFormat {
    /// The name of the tool-call syntax: "hermes", "llama", "mistral", "harmony", …; "generic" where the template
    /// knows no tools.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The text around the model's reasoning, `None` if the format has none.
    pub fn reasoning(&self) -> Option<ReasoningMarkers> {
        self.reasoning.map(|reasoning| ReasoningMarkers {
            begin: reasoning.begin.to_owned(),
            end: reasoning.end.to_owned(),
            forced_end: reasoning.forced_end.to_owned(),
        })
    }

    /// Whether a rendered prompt ends inside the reasoning: its last text is what begins it.
    pub fn opened_by(&self, prompt: &str) -> bool {
        self.reasoning.is_some_and(|reasoning| prompt.trim_end().ends_with(reasoning.begin.trim_end()))
    }

    /// A parser for one answer.
    pub fn parser(&self, settings: ParserSettings) -> OutputParser {
        OutputParser::new(self, settings)
    }

    /// Whether control tokens of the answer must be shown to the parser as text: the format marks something with them.
    pub fn needs_special_tokens(&self) -> bool {
        let reasoning = self.reasoning.is_some_and(|reasoning| is_control(reasoning.begin));
        let syntax = self.calls;
        let first = match syntax.call.first() {
            Some(Piece::Text(text)) => *text,
            _ => "",
        };
        let calls = [syntax.opener, first].into_iter().any(is_control);
        reasoning || calls || !self.tokens.is_empty() || !self.frames.is_empty()
    }

    /// What the format is, in a line.
    pub fn description(&self) -> Cow<'static, str> {
        match self.reasoning {
            Some(reasoning) => Cow::Owned(format!("{}, reasoning after {:?}", self.name, reasoning.begin)),
            None => Cow::Borrowed(self.name),
        }
    }
}
