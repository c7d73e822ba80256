//! A model's way to write its answers.

use std::borrow::Cow;

use crate::ids::IdStyle;
use crate::parser::{OutputParser, ParserSettings};
use crate::prepare::TemplateTraits;
use crate::syntax::{CallSyntax, ContentFrame, Layout, Presence, ReasoningSyntax, is_control};
use crate::tokens::{ControlTokens, candidates};

/// The text around reasoning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasoningMarkers {
    /// Before it.
    pub begin: String,
    /// After it.
    pub end: String,
    /// What to write when the budget is spent: ends the reasoning and leads on to the answer.
    pub forced_end: String,
    /// The same where a grammar follows ([`ChatFormat::answer_grammar`]), which leads on by itself.
    pub enforced_end: String,
}

/// Where in an answer the prompt ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnswerPlace {
    /// At its beginning.
    #[default]
    Turn,
    /// Inside the reasoning.
    Reasoning,
    /// Inside the content: what stands before it is written.
    Content,
}

/// How a model writes reasoning and tool calls.
#[derive(Debug, Clone)]
pub struct ChatFormat {
    pub(crate) name: &'static str,
    pub(crate) layout: Layout,
    pub(crate) reasoning: Option<ReasoningSyntax>,
    /// Markers that belong to no text.
    pub(crate) frames: &'static [&'static str],
    /// What stands around the content.
    pub(crate) content: Option<&'static ContentFrame>,
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
        let framed = self.content.is_some_and(|frame| frame.presence == Presence::Always);
        self.reasoning.map(|reasoning| ReasoningMarkers {
            begin: reasoning.begin.to_owned(),
            end: reasoning.end.to_owned(),
            forced_end: reasoning.forced_end.to_owned(),
            enforced_end: if framed { reasoning.end } else { reasoning.forced_end }.to_owned(),
        })
    }

    /// Whether a rendered prompt ends inside the reasoning: its last text is what begins it.
    pub fn opened_by(&self, prompt: &str) -> bool {
        self.reasoning.is_some_and(|reasoning| prompt.trim_end().ends_with(reasoning.begin.trim_end()))
    }

    /// Where in the answer a rendered prompt ends.
    pub fn place(&self, prompt: &str) -> AnswerPlace {
        let in_content = |frame: &ContentFrame| !frame.begin.is_empty() && prompt.ends_with(frame.begin);
        if self.opened_by(prompt) {
            AnswerPlace::Reasoning
        } else if self.content.is_some_and(in_content) {
            AnswerPlace::Content
        } else {
            AnswerPlace::Turn
        }
    }

    /// The tokens, by their text, that begin calls wherever they come, in reasoning too: where a grammar follows the
    /// reasoning they must not come inside, since no grammar would follow that call.
    pub fn call_marks(&self) -> Vec<&'static str> {
        let markers = self.calls.markers().filter(|marker| is_control(marker));
        let mut marks: Vec<&str> = markers.filter_map(|marker| candidates(marker).first().copied()).collect();
        let end = self.reasoning.map_or("", |reasoning| reasoning.end);
        marks.retain(|mark| !end.contains(mark));
        marks.dedup();
        marks
    }

    /// A parser for one answer.
    pub fn parser(&self, settings: ParserSettings) -> OutputParser {
        OutputParser::new(self, settings)
    }

    /// Whether control tokens of the answer must be shown to the parser as text: the format marks something with them.
    pub fn needs_special_tokens(&self) -> bool {
        let reasoning = self.reasoning.is_some_and(|reasoning| is_control(reasoning.begin));
        let calls = self.calls.markers().any(is_control);
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
