//! Reads one call (or one JSON list of calls) by its description.

mod json;
mod json_call;
mod literals;
mod parameters;

use std::collections::VecDeque;

use crate::delta::Deltas;
use crate::scanner::{Found, MarkerScanner};
use crate::syntax::{LiteralSyntax, Piece};
use crate::tools::Tools;

use json::ArgumentsReader;
use json_call::JsonCallReader;
use literals::LiteralsReader;
use parameters::ParametersReader;

/// More than any tool's name or id has.
const LONGEST_NAME: usize = 256;

/// What became of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Taken; the call goes on.
    More,
    /// Taken; it was the last of the call.
    Done,
    /// Taken; it was the last of the arguments, and the marker after them has been read.
    DoneWithMarker,
    /// Not taken: the call is complete without it.
    DoneBefore,
    /// Not taken: it does not fit.
    Refused,
}

/// Where readers put calls. Until a call has begun, what was read is kept, so that it can become content.
#[derive(Debug)]
pub(crate) struct CallSink<'a> {
    pub(crate) deltas: &'a mut Deltas,
    /// What was read since the last call ended.
    pub(crate) unread: &'a mut String,
    /// Whether a call has begun and not ended.
    pub(crate) open: &'a mut bool,
}

impl CallSink<'_> {
    pub(crate) fn begin(&mut self, id: Option<String>, name: &str) {
        self.unread.clear();
        *self.open = true;
        self.deltas.call(id, name);
    }

    pub(crate) fn arguments(&mut self, text: &str) {
        self.deltas.arguments(text);
    }

    pub(crate) fn end(&mut self) {
        *self.open = false;
        self.unread.clear();
    }
}

/// The reader of a call.
#[derive(Debug)]
pub(crate) struct CallReader {
    pieces: &'static [Piece],
    at: usize,
    tools: Tools,
    /// Whether a name must be a known tool's.
    known_only: bool,
    id: Option<String>,
    name: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before or in a fixed text: how many bytes of it have come.
    Text(usize),
    /// In a text that ends with one of the scanner's markers, which lead to these pieces.
    Until {
        scanner: MarkerScanner,
        targets: Vec<(&'static str, usize)>,
        text: String,
    },
    Json(ArgumentsReader),
    JsonCall(Box<JsonCallReader>),
    Parameters(Box<ParametersReader>),
    Literals(Box<LiteralsReader>),
    Complete,
}

impl CallReader {
    /// A reader at the piece of the given index.
    pub(crate) fn new(pieces: &'static [Piece], at: usize, tools: Tools, known_only: bool) -> CallReader {
        let mut reader = CallReader {
            pieces,
            at,
            tools,
            known_only,
            id: None,
            name: String::new(),
            state: State::Complete,
        };
        reader.state = reader.waiting_at(at);
        reader
    }

    /// Whether a call of these pieces may begin with this character, where it begins with no marker.
    pub(crate) fn begins(pieces: &[Piece], character: char) -> bool {
        match pieces.first() {
            Some(Piece::JsonCall(_)) => matches!(character, '{' | '['),
            Some(Piece::Name) => character.is_alphabetic() || character == '_',
            _ => false,
        }
    }

    /// Reads a character.
    pub(crate) fn step(&mut self, character: char, sink: &mut CallSink) -> Progress {
        loop {
            let progress = match &mut self.state {
                State::Text(_) => self.step_text(character),
                State::Until { .. } => self.step_until(character, sink),
                State::Json(reader) => reader.step(character, sink),
                State::JsonCall(reader) => reader.step(character, sink),
                State::Parameters(reader) => reader.step(character, sink),
                State::Literals(reader) => reader.step(character, sink),
                State::Complete => Progress::DoneBefore,
            };
            let is_last_reader = matches!(self.state, State::JsonCall(_) | State::Complete);
            match progress {
                Progress::More | Progress::Refused => return progress,
                _ if is_last_reader => return progress,
                Progress::Done => self.advance(1),
                Progress::DoneWithMarker => self.advance(2),
                Progress::DoneBefore => {
                    self.advance(1);
                    continue;
                }
            }
            return if matches!(self.state, State::Complete) {
                sink.end();
                Progress::Done
            } else {
                Progress::More
            };
        }
    }

    /// The text ends here: closes what can be closed.
    pub(crate) fn finish(&mut self, sink: &mut CallSink) {
        match &mut self.state {
            State::Json(reader) => reader.finish(sink),
            State::JsonCall(reader) => reader.finish(sink),
            State::Parameters(reader) => reader.finish(sink),
            State::Literals(reader) => reader.finish(sink),
            _ => {}
        }
    }

    /// What has been read of a marker that did not come.
    pub(crate) fn take_held(&mut self) -> String {
        match &mut self.state {
            State::Text(matched) => match self.pieces.get(self.at) {
                Some(Piece::Text(text)) => text[..std::mem::take(matched)].to_owned(),
                _ => String::new(),
            },
            State::Parameters(reader) => reader.take_held(),
            _ => String::new(),
        }
    }

    fn advance(&mut self, pieces: usize) {
        self.at += pieces;
        self.state = self.waiting_at(self.at);
    }

    /// The state before the piece of this index, or before what follows it when it writes whitespace only.
    fn waiting_at(&mut self, mut at: usize) -> State {
        while matches!(self.pieces.get(at), Some(Piece::Space(_))) {
            at += 1;
        }
        self.at = at;
        match self.pieces.get(at) {
            None => State::Complete,
            Some(Piece::Text(_) | Piece::Space(_) | Piece::MarkedId(..)) => State::Text(0),
            Some(Piece::Name | Piece::QualifiedName | Piece::Id(_) | Piece::Count) => self.until(at + 1),
            Some(Piece::JsonCall(_)) => {
                State::JsonCall(Box::new(JsonCallReader::new(self.tools.clone(), self.known_only)))
            }
            Some(Piece::Json) => State::Json(ArgumentsReader::default()),
            Some(Piece::Parameters(_) | Piece::Literals(_)) => State::Complete,
        }
    }

    /// The state in a text that ends where the piece of this index begins.
    fn until(&self, from: usize) -> State {
        let targets = self.terminators(from);
        let markers = targets.iter().map(|(marker, _)| *marker).collect();
        State::Until { scanner: MarkerScanner::new(markers), targets, text: String::new() }
    }

    /// The markers that may end a text before the piece of this index, and the pieces that they belong to.
    fn terminators(&self, from: usize) -> Vec<(&'static str, usize)> {
        let mut targets = Vec::new();
        for (at, piece) in self.pieces.iter().enumerate().skip(from) {
            let (marker, optional) = match piece {
                Piece::Text(text) => (*text, false),
                Piece::MarkedId(text, _) => (*text, true),
                Piece::Parameters(syntax) => (syntax.open, true),
                Piece::Literals(syntax) => (syntax.open(), false),
                _ => continue,
            };
            targets.push((marker, at));
            if !optional {
                break;
            }
        }
        targets
    }

    fn step_text(&mut self, character: char) -> Progress {
        let State::Text(matched) = &mut self.state else { return Progress::Refused };
        let Some(Piece::Text(text)) = self.pieces.get(self.at) else { return Progress::Refused };
        if *matched == 0 && character.is_whitespace() && !text.starts_with(character) {
            return Progress::More;
        }
        if !text[*matched..].starts_with(character) {
            return Progress::Refused;
        }
        *matched += character.len_utf8();
        if *matched == text.len() { Progress::Done } else { Progress::More }
    }

    fn step_until(&mut self, character: char, sink: &mut CallSink) -> Progress {
        let State::Until { scanner, targets, text } = &mut self.state else { return Progress::Refused };
        let mut found = VecDeque::new();
        scanner.push(character, &mut found);
        while let Some(next) = found.pop_front() {
            match next {
                Found::Text(character) => text.push(character),
                Found::Marker(marker) => {
                    let target = targets.iter().find(|(text, _)| *text == marker).map_or(0, |(_, at)| *at);
                    let text = std::mem::take(text);
                    return self.end_text(text.trim(), target, sink);
                }
            }
        }
        if text.len() > LONGEST_NAME || text.trim().contains('\n') {
            return Progress::Refused;
        }
        Progress::More
    }

    /// A name, id or number is complete, and the marker of the target piece has been read.
    fn end_text(&mut self, text: &str, target: usize, sink: &mut CallSink) -> Progress {
        match self.pieces[self.at] {
            Piece::Name => self.name = text.to_owned(),
            Piece::QualifiedName => {
                self.id = Some(text.to_owned());
                let name = text.strip_prefix("functions.").unwrap_or(text);
                let name = match name.rsplit_once(':') {
                    Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
                    _ => name,
                };
                self.name = name.to_owned();
            }
            Piece::Id(_) | Piece::MarkedId(..) => self.id = Some(text.to_owned()),
            _ => {}
        }
        let name_is_read = matches!(self.pieces[self.at], Piece::Name | Piece::QualifiedName);
        let fits = !self.name.is_empty() && !self.name.contains(char::is_whitespace);
        if name_is_read && !fits || self.known_only && name_is_read && self.tools.find(&self.name).is_none() {
            return Progress::Refused;
        }
        self.at = target;
        self.state = match self.pieces[target] {
            Piece::MarkedId(..) => self.until(target + 1),
            Piece::Parameters(syntax) => {
                self.begin_call(sink);
                let tool = self.tools.find(&self.name).cloned();
                let end = self.next_text(target + 1);
                State::Parameters(Box::new(ParametersReader::in_key(syntax, tool, end, sink)))
            }
            Piece::Literals(syntax) => {
                self.begin_call(sink);
                State::Literals(Box::new(LiteralsReader::opened(syntax, sink)))
            }
            _ => return self.after_text(target, sink),
        };
        Progress::More
    }

    /// A fixed text at the target was read: what comes after it may begin the arguments.
    fn after_text(&mut self, target: usize, sink: &mut CallSink) -> Progress {
        let mut next = target + 1;
        while matches!(self.pieces.get(next), Some(Piece::Space(_))) {
            next += 1;
        }
        self.at = next;
        match self.pieces.get(next) {
            Some(Piece::Json) => {
                self.begin_call(sink);
                self.state = State::Json(ArgumentsReader::default());
            }
            Some(Piece::Parameters(syntax)) => {
                self.begin_call(sink);
                let tool = self.tools.find(&self.name).cloned();
                let end = self.next_text(next + 1);
                self.state =
                    State::Parameters(Box::new(ParametersReader::before_key(*syntax, tool, end, sink)));
            }
            Some(Piece::Literals(syntax)) => {
                self.begin_call(sink);
                self.state = State::Literals(Box::new(LiteralsReader::before(*syntax, sink)));
            }
            None if self.skipped_parameters(target) => {
                // A call whose arguments were left out: its end came where the first of them may come.
                self.begin_call(sink);
                sink.arguments("{}");
                sink.end();
                self.state = State::Complete;
                return Progress::Done;
            }
            _ => self.state = self.waiting_at(next),
        }
        Progress::More
    }

    /// Whether the piece before the target is the list of arguments.
    fn skipped_parameters(&self, target: usize) -> bool {
        let before = self.pieces[..target].iter().rev().find(|piece| !matches!(piece, Piece::Space(_)));
        matches!(before, Some(Piece::Parameters(_)))
    }

    fn next_text(&self, from: usize) -> &'static str {
        self.pieces[from..]
            .iter()
            .find_map(|piece| if let Piece::Text(text) = piece { Some(*text) } else { None })
            .unwrap_or("")
    }

    fn begin_call(&mut self, sink: &mut CallSink) {
        sink.begin(self.id.take(), &self.name);
    }
}

/// The bracket that ends arguments in this notation.
pub(crate) fn closing(syntax: LiteralSyntax) -> char {
    match syntax {
        LiteralSyntax::Python => ')',
        LiteralSyntax::Gemma => '}',
    }
}
