//! Arguments that the model marks one by one: `<parameter=key>value</parameter>` and its relatives.

use std::collections::VecDeque;

use super::{CallSink, Progress};
use crate::json_text::{push_escaped, quoted};
use crate::scanner::{Found, MarkerScanner};
use crate::syntax::{ParameterSyntax, Typing};
use crate::tools::{ArgumentKind, ToolDefinition};

/// Writes the arguments as a JSON object while they come: text as it comes, everything else when it is complete.
#[derive(Debug)]
pub(super) struct ParametersReader {
    syntax: ParameterSyntax,
    tool: Option<ToolDefinition>,
    /// What follows the last argument.
    end: &'static str,
    arguments: usize,
    key: String,
    state: State,
    held: String,
}

#[derive(Debug)]
enum State {
    /// Before an argument or the end.
    Gap(MarkerScanner),
    Key(MarkerScanner),
    /// In the attribute that says what the value is.
    Typing(MarkerScanner, String),
    /// Before the value's own marker.
    ValueBegin(ArgumentKind, usize),
    /// In a text. What is held back may be padding.
    Text {
        scanner: MarkerScanner,
        first: bool,
        padding: bool,
    },
    /// In what may be JSON.
    Json(MarkerScanner, ArgumentKind, String),
    Ended,
}

impl ParametersReader {
    /// A reader that stands after the marker before the first key.
    pub(super) fn in_key(
        syntax: ParameterSyntax,
        tool: Option<ToolDefinition>,
        end: &'static str,
        sink: &mut CallSink,
    ) -> ParametersReader {
        let mut reader = ParametersReader::before_key(syntax, tool, end, sink);
        reader.state = State::Key(MarkerScanner::new(vec![syntax.key_end]));
        reader
    }

    /// A reader that stands before the first argument or the end.
    pub(super) fn before_key(
        syntax: ParameterSyntax,
        tool: Option<ToolDefinition>,
        end: &'static str,
        sink: &mut CallSink,
    ) -> ParametersReader {
        sink.arguments("{");
        let state = State::Gap(MarkerScanner::new(vec![syntax.open, end]));
        ParametersReader { syntax, tool, end, arguments: 0, key: String::new(), state, held: String::new() }
    }

    pub(super) fn take_held(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    pub(super) fn step(&mut self, character: char, sink: &mut CallSink) -> Progress {
        if let State::ValueBegin(kind, matched) = &self.state {
            let (kind, matched) = (kind.clone(), *matched);
            return self.step_value_begin(kind, matched, character, sink);
        }
        let mut found = VecDeque::new();
        match &mut self.state {
            State::Gap(scanner)
            | State::Key(scanner)
            | State::Typing(scanner, _)
            | State::Text { scanner, .. }
            | State::Json(scanner, ..) => scanner.push(character, &mut found),
            State::ValueBegin(..) | State::Ended => return Progress::DoneBefore,
        }
        while let Some(next) = found.pop_front() {
            let progress = match next {
                Found::Text(read) => self.text(read, character, &mut found, sink),
                Found::Marker(marker) => self.marker(marker, sink),
            };
            if progress != Progress::More {
                return progress;
            }
        }
        Progress::More
    }

    pub(super) fn finish(&mut self, sink: &mut CallSink) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Gap(_) => sink.arguments("}"),
            State::Json(mut scanner, kind, mut text) => {
                text.push_str(&scanner.take_held());
                sink.arguments(&kind.value(&text));
            }
            State::Text { mut scanner, padding, .. } => {
                let mut piece = if padding { "\\n".to_owned() } else { String::new() };
                scanner.take_held().chars().for_each(|character| push_escaped(&mut piece, character));
                sink.arguments(&piece);
            }
            _ => {}
        }
    }

    fn text(&mut self, read: char, last: char, found: &mut VecDeque<Found>, sink: &mut CallSink) -> Progress {
        match &mut self.state {
            State::Gap(_) if read.is_whitespace() => Progress::More,
            State::Gap(scanner) => {
                // The character that came last is the caller's to read again, what was held before it is handed back.
                self.held.push(read);
                for next in found.drain(..) {
                    match next {
                        Found::Text(character) => self.held.push(character),
                        Found::Marker(marker) => self.held.push_str(marker),
                    }
                }
                self.held.push_str(&scanner.take_held());
                if self.held.ends_with(last) {
                    self.held.pop();
                }
                sink.arguments("}");
                self.state = State::Ended;
                Progress::Refused
            }
            State::Key(_) => {
                self.key.push(read);
                Progress::More
            }
            State::Typing(_, text) | State::Json(_, _, text) => {
                text.push(read);
                Progress::More
            }
            State::Text { first, padding, .. } => {
                let is_padding = self.syntax.padding == "\n" && read == '\n';
                let was_first = std::mem::replace(first, false);
                if is_padding && was_first {
                    return Progress::More;
                }
                let mut piece = String::new();
                if std::mem::replace(padding, is_padding) {
                    piece.push_str("\\n");
                }
                if !is_padding {
                    push_escaped(&mut piece, read);
                }
                sink.arguments(&piece);
                Progress::More
            }
            State::ValueBegin(..) | State::Ended => Progress::More,
        }
    }

    fn marker(&mut self, marker: &str, sink: &mut CallSink) -> Progress {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Gap(_) if marker == self.syntax.open => {
                self.key.clear();
                self.state = State::Key(MarkerScanner::new(vec![self.syntax.key_end]));
                Progress::More
            }
            State::Gap(_) => {
                sink.arguments("}");
                Progress::DoneWithMarker
            }
            State::Key(_) => {
                match self.syntax.typing {
                    Typing::StringFlag(end) | Typing::TypeName(end) => {
                        self.state = State::Typing(MarkerScanner::new(vec![end]), String::new());
                    }
                    Typing::Schema => {
                        let key = self.key.trim();
                        let kind =
                            self.tool.as_ref().map_or(ArgumentKind::ANY, |tool| tool.argument_kind(key));
                        self.begin_value(kind, sink);
                    }
                }
                Progress::More
            }
            State::Typing(_, text) => {
                let is_text = matches!(text.trim(), "true" | "string");
                self.begin_value(if is_text { ArgumentKind::Text } else { ArgumentKind::ANY }, sink);
                Progress::More
            }
            State::Text { .. } => {
                sink.arguments("\"");
                self.end_value()
            }
            State::Json(_, kind, text) => {
                sink.arguments(&kind.value(self.without_padding(&text)));
                self.end_value()
            }
            State::ValueBegin(..) | State::Ended => Progress::More,
        }
    }

    fn end_value(&mut self) -> Progress {
        self.state = State::Gap(MarkerScanner::new(vec![self.syntax.open, self.end]));
        Progress::More
    }

    fn begin_value(&mut self, kind: ArgumentKind, sink: &mut CallSink) {
        let comma = if self.arguments > 0 { ", " } else { "" };
        self.arguments += 1;
        sink.arguments(&format!("{comma}{}: ", quoted(self.key.trim())));
        if self.syntax.value_begin.is_empty() {
            self.in_value(kind, sink);
        } else {
            self.state = State::ValueBegin(kind, 0);
        }
    }

    fn in_value(&mut self, kind: ArgumentKind, sink: &mut CallSink) {
        let scanner = MarkerScanner::new(vec![self.syntax.close]);
        self.state = match kind {
            ArgumentKind::Text => {
                sink.arguments("\"");
                State::Text { scanner, first: true, padding: false }
            }
            kind => State::Json(scanner, kind, String::new()),
        };
    }

    /// Reads the marker before a value. A value without it is read all the same.
    fn step_value_begin(
        &mut self,
        kind: ArgumentKind,
        matched: usize,
        character: char,
        sink: &mut CallSink,
    ) -> Progress {
        let begin = self.syntax.value_begin;
        if matched == 0 && character.is_whitespace() {
            return Progress::More;
        }
        if begin[matched..].starts_with(character) {
            let matched = matched + character.len_utf8();
            if matched == begin.len() {
                self.in_value(kind, sink);
            } else {
                self.state = State::ValueBegin(kind, matched);
            }
            return Progress::More;
        }
        self.in_value(kind, sink);
        for read in begin[..matched].chars().chain([character]) {
            let progress = self.step(read, sink);
            if progress != Progress::More {
                return progress;
            }
        }
        Progress::More
    }

    fn without_padding<'text>(&self, text: &'text str) -> &'text str {
        let padding = self.syntax.padding;
        if padding.is_empty() {
            return text;
        }
        let text = text.strip_prefix(padding).unwrap_or(text);
        text.strip_suffix(padding).unwrap_or(text)
    }
}
