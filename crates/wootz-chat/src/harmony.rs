//! Answers that are messages on channels: gpt-oss's harmony format.
//!
//! `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…`; a call is a message to a
//! recipient: `<|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}<|call|>`, or with `to=` before the
//! channel. The prompt ends after the first `<|start|>assistant`.

use std::collections::VecDeque;

use crate::delta::Deltas;
use crate::parser::{ParserSettings, ReasoningOutput};
use crate::scanner::{Found, MarkerScanner};
use crate::tools::Tools;

/// Longer than any header.
const LONGEST_HEADER: usize = 512;
const MESSAGE: &str = "<|message|>";
const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
/// What ends a message, and what begins the next one where the end was left out.
const MESSAGE_ENDS: [&str; 5] = ["<|end|>", "<|return|>", "<|call|>", START, CHANNEL];

/// Reads an answer.
#[derive(Debug)]
pub(crate) struct HarmonyReader {
    has_tools: bool,
    output: ReasoningOutput,
    scanner: MarkerScanner,
    state: State,
    /// Whitespace that may be at the end of a message.
    space: String,
    /// Whether the message has begun.
    begun: bool,
}

#[derive(Debug)]
enum State {
    /// In a header, its text so far.
    Header(String),
    Message(Kind),
    /// After a message.
    Between,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Content,
    Reasoning,
    Call,
}

impl HarmonyReader {
    pub(crate) fn new(settings: ParserSettings) -> HarmonyReader {
        let mut reader = HarmonyReader {
            has_tools: matches!(settings.tools, Tools::Known(_)),
            output: settings.reasoning,
            scanner: MarkerScanner::new(Vec::new()),
            state: State::Between,
            space: String::new(),
            begun: false,
        };
        reader.enter(if settings.opened {
            State::Message(Kind::Reasoning)
        } else {
            State::Header(String::new())
        });
        reader
    }

    pub(crate) fn step(&mut self, character: char, deltas: &mut Deltas) {
        let mut waiting = VecDeque::from([character]);
        while let Some(character) = waiting.pop_front() {
            let mut found = VecDeque::new();
            self.scanner.push(character, &mut found);
            while let Some(next) = found.pop_front() {
                match next {
                    Found::Text(read) => self.text(read, deltas),
                    Found::Marker(marker) => self.marker(marker, deltas),
                }
            }
        }
    }

    pub(crate) fn finish(&mut self, deltas: &mut Deltas) {
        for character in self.scanner.take_held().chars() {
            self.text(character, deltas);
        }
        match &mut self.state {
            State::Header(header) => {
                let header = std::mem::take(header);
                if header.trim() != "assistant" {
                    deltas.content(&header);
                }
            }
            State::Message(Kind::Content) if self.begun => {
                let space = std::mem::take(&mut self.space);
                deltas.content(&space);
            }
            _ => {}
        }
    }

    fn enter(&mut self, state: State) {
        let markers = match state {
            State::Header(_) => vec![MESSAGE],
            State::Message(_) => MESSAGE_ENDS.to_vec(),
            State::Between => vec![START, CHANNEL],
        };
        self.scanner = MarkerScanner::new(markers);
        self.state = state;
        self.space.clear();
        self.begun = false;
    }

    fn text(&mut self, read: char, deltas: &mut Deltas) {
        match &mut self.state {
            State::Header(header) => {
                header.push(read);
                if !may_be_header(header) {
                    let header = std::mem::take(header);
                    self.enter(State::Message(Kind::Content));
                    header.chars().for_each(|character| self.message(Kind::Content, character, deltas));
                }
            }
            State::Message(kind) => {
                let kind = *kind;
                self.message(kind, read, deltas);
            }
            State::Between if read.is_whitespace() => {}
            State::Between => {
                self.enter(State::Message(Kind::Content));
                self.message(Kind::Content, read, deltas);
            }
        }
    }

    fn message(&mut self, kind: Kind, read: char, deltas: &mut Deltas) {
        if read.is_whitespace() {
            self.space.push(read);
            return;
        }
        let mut text = std::mem::take(&mut self.space);
        if kind != Kind::Content && !self.begun {
            text.clear();
        }
        self.begun = true;
        text.push(read);
        match kind {
            Kind::Content => deltas.content(&text),
            Kind::Reasoning if self.output == ReasoningOutput::InContent => deltas.content(&text),
            Kind::Reasoning => deltas.reasoning(&text),
            Kind::Call => deltas.arguments(&text),
        }
    }

    fn marker(&mut self, marker: &str, deltas: &mut Deltas) {
        match &mut self.state {
            State::Header(header) => {
                let header = std::mem::take(header);
                self.begin_message(&header, deltas);
            }
            State::Message(kind) => {
                if *kind == Kind::Call && !self.begun {
                    deltas.arguments("{}");
                }
                if *kind == Kind::Reasoning && self.output == ReasoningOutput::InContent {
                    deltas.content(marker);
                }
                self.enter(match marker {
                    START => State::Header(String::new()),
                    CHANNEL => State::Header(CHANNEL.to_owned()),
                    _ => State::Between,
                });
            }
            State::Between => {
                let header = if marker == START { String::new() } else { CHANNEL.to_owned() };
                self.enter(State::Header(header));
            }
        }
    }

    fn begin_message(&mut self, header: &str, deltas: &mut Deltas) {
        let channel = header.split(CHANNEL).nth(1).map_or("", word);
        let recipient = header.split("to=").nth(1).map_or("", word);
        let name = recipient.strip_prefix("functions.").unwrap_or(recipient);
        let kind = match channel {
            _ if !matches!(name, "" | "assistant" | "user") && self.has_tools => {
                deltas.call(None, name);
                Kind::Call
            }
            "analysis" => {
                if self.output == ReasoningOutput::InContent {
                    deltas.content(&format!("{header}{MESSAGE}"));
                }
                Kind::Reasoning
            }
            _ if !name.is_empty() => {
                // A call where none was asked for.
                deltas.content(&format!("{header}{MESSAGE}"));
                Kind::Content
            }
            _ => Kind::Content,
        };
        self.enter(State::Message(kind));
    }
}

/// The word at the beginning of a text.
fn word(text: &str) -> &str {
    text.split(|character: char| character.is_whitespace() || character == '<').next().unwrap_or("")
}

/// Whether a text may be the beginning of a header: a role, a recipient or a channel comes first.
fn may_be_header(header: &str) -> bool {
    let text = header.trim_start();
    let begins = |start: &str| text.starts_with(start) || start.starts_with(text);
    header.len() <= LONGEST_HEADER
        && (text.is_empty() || [CHANNEL, "to=", "assistant", START].iter().any(|start| begins(start)))
}
