//! Calls that are JSON objects, alone or in an array.

use super::json::ArgumentsReader;
use super::{CallSink, Progress};
use crate::delta::Deltas;
use crate::ids::IdStyle;
use crate::json_text::{StringDecoder, StringPart, ValuePart, ValueScanner};
use crate::tools::Tools;

/// Reads `{"name": …, "arguments": …}` in any order of keys, by any of the usual names of keys, `{"name": {…}}` where
/// the name of a tool is the key, and arrays of them.
#[derive(Debug)]
pub(super) struct JsonCallReader {
    tools: Tools,
    known_only: bool,
    in_array: bool,
    state: State,
    id: Option<String>,
    name: Option<String>,
    /// Arguments that came before the name.
    early: Option<String>,
    has_arguments: bool,
}

#[derive(Debug)]
enum State {
    /// Before an object, or the array's end.
    Outside,
    /// Before a key or the object's end.
    BeforeKey,
    Key(StringDecoder, String),
    Colon(String),
    /// Before the value of a key.
    BeforeValue(String),
    /// In the id or the name.
    Text(Role, StringDecoder, String),
    Arguments(ArgumentsReader),
    /// Arguments before the name is known.
    Early(ArgumentsReader, Deltas),
    Skipped(ValueScanner),
    /// Before a comma or the object's end.
    AfterValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Id,
    Name,
    Arguments,
    Other,
}

fn role(key: &str) -> Role {
    match key {
        "name" | "tool_name" => Role::Name,
        "arguments" | "parameters" => Role::Arguments,
        "id" | "tool_call_id" => Role::Id,
        _ => Role::Other,
    }
}

impl JsonCallReader {
    pub(super) fn new(tools: Tools, known_only: bool) -> JsonCallReader {
        JsonCallReader {
            tools,
            known_only,
            in_array: false,
            state: State::Outside,
            id: None,
            name: None,
            early: None,
            has_arguments: false,
        }
    }

    pub(super) fn step(&mut self, character: char, sink: &mut CallSink) -> Progress {
        match &mut self.state {
            State::Outside => self.step_outside(character),
            State::BeforeKey | State::AfterValue | State::Colon(_) if character.is_whitespace() => {
                Progress::More
            }
            State::BeforeKey => match character {
                '"' => self.enter(State::Key(StringDecoder::default(), String::new())),
                '}' => self.end_object(sink),
                _ => Progress::Refused,
            },
            State::Key(decoder, key) => match decoder.push(character) {
                StringPart::Nothing => Progress::More,
                StringPart::Character(decoded) => {
                    key.push(decoded);
                    Progress::More
                }
                StringPart::End => {
                    let key = std::mem::take(key);
                    self.enter(State::Colon(key))
                }
            },
            State::Colon(key) if character == ':' => {
                let key = std::mem::take(key);
                self.enter(State::BeforeValue(key))
            }
            State::Colon(_) => Progress::Refused,
            State::BeforeValue(_) if character.is_whitespace() => Progress::More,
            State::BeforeValue(key) => {
                let key = std::mem::take(key);
                self.begin_value(&key, character, sink)
            }
            State::Text(..) => self.step_text(character, sink),
            State::Arguments(reader) => {
                let progress = reader.step(character, sink);
                self.end_value(progress, character, sink)
            }
            State::Early(reader, deltas) => {
                let progress = step_early(reader, deltas, character);
                self.end_value(progress, character, sink)
            }
            State::Skipped(scanner) => {
                let progress = match scanner.push(character) {
                    ValuePart::Inside => Progress::More,
                    ValuePart::Last => Progress::Done,
                    ValuePart::After => Progress::DoneBefore,
                };
                self.end_value(progress, character, sink)
            }
            State::AfterValue => match character {
                ',' => self.enter(State::BeforeKey),
                '}' => self.end_object(sink),
                _ => Progress::Refused,
            },
        }
    }

    pub(super) fn finish(&mut self, sink: &mut CallSink) {
        if let State::Arguments(reader) = &mut self.state {
            reader.finish(sink);
        }
    }

    fn enter(&mut self, state: State) -> Progress {
        self.state = state;
        Progress::More
    }

    fn step_outside(&mut self, character: char) -> Progress {
        match character {
            '{' => self.enter(State::BeforeKey),
            '[' if !self.in_array => {
                self.in_array = true;
                Progress::More
            }
            ']' if self.in_array => Progress::Done,
            ',' if self.in_array => Progress::More,
            _ if character.is_whitespace() => Progress::More,
            _ => Progress::Refused,
        }
    }

    fn begin_value(&mut self, key: &str, character: char, sink: &mut CallSink) -> Progress {
        let mut role = role(key);
        let name_is_key = role == Role::Other && self.name.is_none() && character == '{';
        if name_is_key && self.tools.find(key).is_some() {
            self.name = Some(key.to_owned());
            role = Role::Arguments;
        }
        match role {
            Role::Name | Role::Id if character == '"' => {
                self.enter(State::Text(role, StringDecoder::default(), String::new()))
            }
            Role::Name => Progress::Refused,
            Role::Arguments if self.has_arguments => Progress::Refused,
            Role::Arguments => {
                self.has_arguments = true;
                let mut reader = ArgumentsReader::default();
                if self.name.is_some() {
                    self.begin_call(sink);
                    let progress = reader.step(character, sink);
                    self.state = State::Arguments(reader);
                    self.end_value(progress, character, sink)
                } else {
                    let mut deltas = Deltas::new(IdStyle::Call);
                    let progress = step_early(&mut reader, &mut deltas, character);
                    self.state = State::Early(reader, deltas);
                    self.end_value(progress, character, sink)
                }
            }
            Role::Id | Role::Other => {
                let mut scanner = ValueScanner::default();
                let part = scanner.push(character);
                self.state = State::Skipped(scanner);
                if part == ValuePart::After { Progress::Refused } else { Progress::More }
            }
        }
    }

    fn step_text(&mut self, character: char, sink: &mut CallSink) -> Progress {
        let State::Text(role, decoder, text) = &mut self.state else { return Progress::Refused };
        match decoder.push(character) {
            StringPart::Nothing => Progress::More,
            StringPart::Character(decoded) => {
                text.push(decoded);
                Progress::More
            }
            StringPart::End => {
                let (role, text) = (*role, std::mem::take(text));
                self.state = State::AfterValue;
                if role == Role::Id {
                    self.id = Some(text);
                    return Progress::More;
                }
                let unknown = self.known_only && self.tools.find(&text).is_none();
                if text.is_empty() || self.name.is_some() || unknown {
                    return Progress::Refused;
                }
                self.name = Some(text);
                if let Some(early) = self.early.take() {
                    self.begin_call(sink);
                    sink.arguments(&early);
                } else if !self.known_only {
                    self.begin_call(sink);
                }
                Progress::More
            }
        }
    }

    /// Says that the call begins, once.
    fn begin_call(&mut self, sink: &mut CallSink) {
        if let Some(name) = self.name.as_deref().filter(|_| !*sink.open) {
            sink.begin(self.id.take(), name);
        }
    }

    fn end_value(&mut self, progress: Progress, character: char, sink: &mut CallSink) -> Progress {
        match progress {
            Progress::More | Progress::Refused => progress,
            _ => {
                if let State::Early(_, deltas) = &mut self.state {
                    self.early = Some(collected(deltas));
                }
                self.state = State::AfterValue;
                if progress == Progress::DoneBefore { self.step(character, sink) } else { Progress::More }
            }
        }
    }

    fn end_object(&mut self, sink: &mut CallSink) -> Progress {
        if self.name.is_none() {
            return Progress::Refused;
        }
        if self.known_only && !self.has_arguments {
            return Progress::Refused;
        }
        self.begin_call(sink);
        if !self.has_arguments {
            sink.arguments("{}");
        }
        sink.end();
        (self.id, self.name, self.early, self.has_arguments) = (None, None, None, false);
        self.state = State::Outside;
        if self.in_array { Progress::More } else { Progress::Done }
    }
}

/// Reads arguments into a list of their own.
fn step_early(reader: &mut ArgumentsReader, deltas: &mut Deltas, character: char) -> Progress {
    let (mut unread, mut open) = (String::new(), true);
    reader.step(character, &mut CallSink { deltas, unread: &mut unread, open: &mut open })
}

fn collected(deltas: &mut Deltas) -> String {
    let mut text = String::new();
    for delta in deltas.take() {
        if let crate::Delta::ToolArguments { text: piece, .. } = delta {
            text.push_str(&piece);
        }
    }
    text
}
