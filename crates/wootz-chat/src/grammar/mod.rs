//! The grammar of an answer, in llguidance's Lark: the same description of the format that the parser reads.
//!
//! Names and arguments are the request's: each tool is an alternative with its own schema. Control tokens are named by
//! id. What is written is what [`crate::render`] writes: one spelling of the syntax, so that no token is spent on choice.
//! Content is what the request says, inside what the format writes around it.

mod calls;
mod free;
mod literals;
mod parameters;
mod schema;
mod writer;

use serde_json::{Value, json};
use wootz_grammar::GrammarSource;

use crate::format::{AnswerPlace, ChatFormat};
use crate::syntax::{Bare, JsonKeys, Piece, Presence};
use crate::tools::{Parallel, Strictness, ToolChoice, ToolDefinition};
use schema::{any_of, as_strict_as_asked, call_schema};
use writer::Writer;

/// What an answer is to be held to.
#[derive(Debug, Clone, Copy)]
pub struct AnswerForm<'a> {
    /// The tools that may be called.
    pub tools: &'a [ToolDefinition],
    /// Whether one is called.
    pub choice: &'a ToolChoice,
    /// Whether several may be called.
    pub parallel: Parallel,
    /// What the content follows; `None`: nothing.
    pub content: Option<&'a GrammarSource>,
    /// Where the prompt ends.
    pub place: AnswerPlace,
}

/// Calls that begin with no marker: where the model decides whether to call, nothing tells a grammar that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnmarkedCalls;

/// The name of the content's grammar inside the answer's.
const CONTENT: &str = "content";
/// The name of the grammar of calls that are JSON without a marker.
const CALLS: &str = "calls";

impl ChatFormat {
    /// The grammar of an answer, after its reasoning.
    ///
    /// Where a call is required or a tool is named, the answer is calls of the tools. Where the model decides, it is
    /// calls or the content; without a content to follow it is free up to a call, and the call follows the schema if any
    /// of the tools is strict. `None`: nothing is to be enforced, or the named tool is none of the tools.
    ///
    /// # Errors
    /// A strict tool where the model decides and calls have no marker.
    pub fn answer_grammar(&self, form: &AnswerForm) -> Result<Option<GrammarSource>, UnmarkedCalls> {
        let required = match form.choice {
            ToolChoice::Required => form.tools.to_vec(),
            ToolChoice::Named(name) => form.tools.iter().filter(|tool| tool.name == *name).cloned().collect(),
            ToolChoice::Auto | ToolChoice::None => Vec::new(),
        };
        if !required.is_empty() {
            return Ok(Some(GrammarSource::Lark(self.required_calls(&required, form))));
        }
        let optional: Vec<ToolDefinition> = match form.choice {
            ToolChoice::Auto => form.tools.iter().map(as_strict_as_asked).collect(),
            _ => Vec::new(),
        };
        match form.content {
            Some(content) if optional.is_empty() => Ok(Some(self.framed_content(content, form.place))),
            Some(content) => Ok(Some(self.calls_or_content(&optional, form, content))),
            None if optional.iter().any(|tool| tool.strictness == Strictness::Schema) => {
                let grammar = free::strict_calls(self, &optional, form).ok_or(UnmarkedCalls)?;
                Ok(Some(GrammarSource::Lark(grammar)))
            }
            None => Ok(None),
        }
    }

    fn required_calls(&self, tools: &[ToolDefinition], form: &AnswerForm) -> String {
        let mut writer = Writer::new(&self.tokens);
        let calls = writer.calls(self.calls, tools, form.parallel);
        let lead = self.calls_lead(&writer, form.place);
        writer.grammar(&format!("{lead} {calls}"))
    }

    /// What may stand between the prompt's or the reasoning's end and the first call.
    fn calls_lead(&self, writer: &Writer, place: AnswerPlace) -> String {
        let mut lead = self.calls.lead;
        if let Some(frame) = self.content.filter(|_| place == AnswerPlace::Content) {
            lead = lead.strip_prefix(frame.begin).unwrap_or(lead);
        }
        if lead.trim().is_empty() { "SPACE?".to_owned() } else { format!("({})?", writer.literal(lead)) }
    }

    /// What stands before and after the content.
    fn frame(&self, writer: &Writer, content: &GrammarSource, place: AnswerPlace) -> (String, String) {
        let is_json = matches!(content, GrammarSource::JsonSchema(_) | GrammarSource::JsonObject);
        // After the reasoning it is no part of the content. Where there may be none, it is: that only JSON bears.
        let may_space = place == AnswerPlace::Reasoning
            || (self.reasoning.is_some() && is_json && place == AnswerPlace::Turn);
        let space = if may_space { "SPACE?" } else { "" };
        let Some(frame) = self.content else { return (space.to_owned(), String::new()) };
        let [lead, begin, end] = [frame.lead, frame.begin, frame.end].map(|text| writer.literal(text));
        let head = match (frame.presence, place) {
            (Presence::Always, AnswerPlace::Content) => String::new(),
            (Presence::Always, _) if lead.is_empty() => begin,
            (Presence::Always, _) => format!("({lead})? {begin}"),
            (Presence::Sometimes, _) if begin.is_empty() => space.to_owned(),
            (Presence::Sometimes, _) => format!("{space} ({begin} SPACE?)?"),
        };
        let tail = match frame.presence {
            _ if end.is_empty() => String::new(),
            Presence::Always => format!("({end})?"),
            Presence::Sometimes => format!("(SPACE? {end})?"),
        };
        (head, tail)
    }

    fn framed_content(&self, content: &GrammarSource, place: AnswerPlace) -> GrammarSource {
        let writer = Writer::new(&self.tokens);
        let (head, tail) = self.frame(&writer, content, place);
        if head.is_empty() && tail.is_empty() {
            return content.clone();
        }
        with_content(&writer, &format!("{head} @{CONTENT} {tail}"), content)
    }

    fn calls_or_content(
        &self,
        tools: &[ToolDefinition],
        form: &AnswerForm,
        content: &GrammarSource,
    ) -> GrammarSource {
        if self.calls.bare == Bare::Json {
            return self.bare_calls_or_content(tools, form.place, content);
        }
        let mut writer = Writer::new(&self.tokens);
        let calls = writer.calls(self.calls, tools, form.parallel);
        let calls = format!("{} {calls}", self.calls_lead(&writer, form.place));
        let (head, tail) = self.frame(&writer, content, form.place);
        with_content(&writer, &format!("{calls} | {head} @{CONTENT} {tail}"), content)
    }

    /// A call that is a JSON object without a marker. Content that is JSON begins like it, so that both are one schema.
    fn bare_calls_or_content(
        &self,
        tools: &[ToolDefinition],
        place: AnswerPlace,
        content: &GrammarSource,
    ) -> GrammarSource {
        let (name, arguments) = match self.calls.call.first() {
            Some(Piece::JsonCall(JsonKeys::Keyed { name, arguments, .. })) => (*name, *arguments),
            _ => ("name", "arguments"),
        };
        let mut schemas: Vec<Value> = tools.iter().map(|tool| call_schema(name, arguments, tool)).collect();
        match content {
            GrammarSource::JsonSchema(schema) => schemas.push(schema.clone()),
            GrammarSource::JsonObject => schemas.push(json!({ "type": "object" })),
            other => {
                let writer = Writer::new(&self.tokens);
                let (head, tail) = self.frame(&writer, content, place);
                return GrammarSource::Composed {
                    lark: writer.grammar(&format!("@{CALLS} | {head} @{CONTENT} {tail}")),
                    parts: vec![
                        (CALLS.to_owned(), GrammarSource::JsonSchema(any_of(&schemas))),
                        (CONTENT.to_owned(), other.clone()),
                    ],
                };
            }
        }
        self.framed_content(&GrammarSource::JsonSchema(any_of(&schemas)), place)
    }
}

/// An answer in which `@content` stands for the content.
fn with_content(writer: &Writer, answer: &str, content: &GrammarSource) -> GrammarSource {
    GrammarSource::Composed {
        lark: writer.grammar(answer),
        parts: vec![(CONTENT.to_owned(), content.clone())],
    }
}
