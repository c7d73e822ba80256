//! Arguments that the model writes as JSON.

use super::{CallSink, Progress};
use crate::json_text::{StringDecoder, StringPart, ValuePart, ValueScanner, push_escaped};

/// Hands on a JSON value as it comes. A string is unwrapped: some models write the arguments as JSON in a string.
/// `null` is no arguments. Control characters inside strings, which JSON forbids, are escaped.
#[derive(Debug, Default)]
pub(super) struct ArgumentsReader {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Before,
    Wrapped(StringDecoder),
    Nested(ValueScanner),
    /// A bare word: `null`, or what no arguments should be.
    Word(ValueScanner, String),
    Ended,
}

impl ArgumentsReader {
    pub(super) fn step(&mut self, character: char, sink: &mut CallSink) -> Progress {
        match &mut self.state {
            State::Before if character.is_whitespace() => Progress::More,
            State::Before => match character {
                '"' => {
                    self.state = State::Wrapped(StringDecoder::default());
                    Progress::More
                }
                '{' | '[' => {
                    let mut scanner = ValueScanner::default();
                    scanner.push(character);
                    sink.arguments(character.encode_utf8(&mut [0; 4]));
                    self.state = State::Nested(scanner);
                    Progress::More
                }
                _ if character.is_alphanumeric() || character == '-' => {
                    let mut scanner = ValueScanner::default();
                    scanner.push(character);
                    self.state = State::Word(scanner, character.to_string());
                    Progress::More
                }
                _ => self.end(sink, Progress::DoneBefore, "{}"),
            },
            State::Wrapped(decoder) => match decoder.push(character) {
                StringPart::Nothing => Progress::More,
                StringPart::Character(decoded) => {
                    sink.arguments(decoded.encode_utf8(&mut [0; 4]));
                    Progress::More
                }
                StringPart::End => self.end(sink, Progress::Done, ""),
            },
            State::Nested(scanner) => {
                let mut piece = String::new();
                if scanner.in_string() && character < ' ' {
                    push_escaped(&mut piece, character);
                } else {
                    piece.push(character);
                }
                let last = scanner.push(character) != ValuePart::Inside;
                if last { self.end(sink, Progress::Done, &piece) } else { more(sink, &piece) }
            }
            State::Word(scanner, word) => {
                let is_word = !matches!(character, '<' | '[' | '`');
                if is_word && scanner.push(character) == ValuePart::Inside {
                    word.push(character);
                    return Progress::More;
                }
                let text = word_arguments(word);
                self.end(sink, Progress::DoneBefore, &text)
            }
            State::Ended => Progress::DoneBefore,
        }
    }

    pub(super) fn finish(&mut self, sink: &mut CallSink) {
        if let State::Word(_, word) = &self.state {
            sink.arguments(&word_arguments(word));
        }
        self.state = State::Ended;
    }

    fn end(&mut self, sink: &mut CallSink, progress: Progress, text: &str) -> Progress {
        sink.arguments(text);
        self.state = State::Ended;
        progress
    }
}

fn more(sink: &mut CallSink, piece: &str) -> Progress {
    sink.arguments(piece);
    Progress::More
}

fn word_arguments(word: &str) -> String {
    if matches!(word, "null" | "None") { "{}".to_owned() } else { word.to_owned() }
}
