//! Arguments in a notation that is not JSON: Python's keyword arguments and Gemma's objects.

use super::{CallSink, Progress, closing};
use crate::json_text::{push_escaped, quoted};
use crate::syntax::{GEMMA_QUOTE, LiteralSyntax};

/// Deeper values than any tool takes.
const DEEPEST: usize = 128;

/// Writes the arguments as JSON while they come. It reads both notations and JSON itself: keys with or without quotes,
/// `=` or `:`, strings in `'`, `"` or Gemma's mark, the words of Python and of JSON.
#[derive(Debug)]
pub(super) struct LiteralsReader {
    syntax: LiteralSyntax,
    /// Open brackets, by what closes them; the arguments themselves first.
    open: Vec<char>,
    /// Whether the next item of the innermost object is a key.
    key: bool,
    /// Whether a comma stands before the next item.
    comma: bool,
    /// A bare word, or a key.
    word: String,
    /// Whether the word was a string.
    quoted: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Before the opening bracket.
    Before,
    Plain,
    /// In the mark around a string of Gemma's: bytes of it so far.
    Mark(usize),
    String {
        quote: Quote,
        escape: bool,
    },
    /// After a quote and spaces: it ends the string if the value ends here.
    QuoteSeen {
        quote: char,
        spaces: String,
    },
    /// In what may be the mark that ends a string.
    MarkInString(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Mark,
    Character(char),
}

impl LiteralsReader {
    /// A reader that stands before the opening bracket.
    pub(super) fn before(syntax: LiteralSyntax, sink: &mut CallSink) -> LiteralsReader {
        sink.arguments("{");
        LiteralsReader {
            syntax,
            open: Vec::new(),
            key: true,
            comma: false,
            word: String::new(),
            quoted: false,
            state: State::Before,
        }
    }

    /// A reader that stands after the opening bracket.
    pub(super) fn opened(syntax: LiteralSyntax, sink: &mut CallSink) -> LiteralsReader {
        let mut reader = LiteralsReader::before(syntax, sink);
        reader.open.push(closing(syntax));
        reader.state = State::Plain;
        reader
    }

    pub(super) fn step(&mut self, character: char, sink: &mut CallSink) -> Progress {
        match self.state.clone() {
            State::Before if character.is_whitespace() => {}
            State::Before if self.syntax.open().starts_with(character) => {
                self.open.push(closing(self.syntax));
                self.state = State::Plain;
            }
            State::Before => {
                sink.arguments("}");
                return Progress::DoneBefore;
            }
            State::Plain => return self.plain(character, sink),
            State::Mark(matched) => self.mark(matched, character, sink),
            State::MarkInString(matched) => self.mark_in_string(matched, character, sink),
            State::String { quote, escape } => self.string(quote, escape, character, sink),
            State::QuoteSeen { quote, spaces } => return self.quote_seen(quote, spaces, character, sink),
        }
        Progress::More
    }

    pub(super) fn finish(&mut self, sink: &mut CallSink) {
        if let State::MarkInString(matched) = self.state {
            self.state = State::String { quote: Quote::Mark, escape: false };
            GEMMA_QUOTE[..matched].chars().for_each(|character| self.character(character, sink));
        }
        if !self.key && !self.word.is_empty() {
            self.end_item(sink);
        }
        self.state = State::Before;
    }

    fn plain(&mut self, character: char, sink: &mut CallSink) -> Progress {
        match character {
            '\'' | '"' if self.word.is_empty() && !self.quoted => {
                self.begin_string(Quote::Character(character), sink);
            }
            '<' if self.word.is_empty() && !self.quoted => self.state = State::Mark(1),
            '{' | '[' | '(' => return self.open_bracket(character, sink),
            '}' | ']' | ')' => return self.close_bracket(character, sink),
            ',' => {
                self.end_item(sink);
                self.comma = true;
                self.key = self.in_object();
            }
            ':' | '=' if self.key => {
                self.separate(sink);
                let key = std::mem::take(&mut self.word);
                self.quoted = false;
                sink.arguments(&format!("{}: ", quoted(&key)));
                self.key = false;
            }
            _ if character.is_whitespace() => {}
            _ => self.word.push(character),
        }
        Progress::More
    }

    fn in_object(&self) -> bool {
        self.open.len() == 1 || self.open.last() == Some(&'}')
    }

    fn open_bracket(&mut self, character: char, sink: &mut CallSink) -> Progress {
        if self.open.len() >= DEEPEST || self.key && !self.in_array() {
            return Progress::Refused;
        }
        self.separate(sink);
        self.word.clear();
        let (begin, end) = match character {
            '{' => ("{", '}'),
            '(' => ("[", ')'),
            _ => ("[", ']'),
        };
        sink.arguments(begin);
        self.open.push(end);
        self.key = end == '}';
        Progress::More
    }

    fn in_array(&self) -> bool {
        !self.in_object()
    }

    fn close_bracket(&mut self, character: char, sink: &mut CallSink) -> Progress {
        if self.open.last() != Some(&character) {
            return Progress::Refused;
        }
        self.end_item(sink);
        let is_object = self.in_object();
        self.open.pop();
        sink.arguments(if is_object { "}" } else { "]" });
        (self.comma, self.key) = (false, false);
        if self.open.is_empty() { Progress::Done } else { Progress::More }
    }

    /// The comma before an item.
    fn separate(&mut self, sink: &mut CallSink) {
        if std::mem::take(&mut self.comma) {
            sink.arguments(", ");
        }
    }

    /// An item ends: a bare word is written, a key without a value gets `null`.
    fn end_item(&mut self, sink: &mut CallSink) {
        let word = std::mem::take(&mut self.word);
        let was_quoted = std::mem::take(&mut self.quoted);
        if self.key && (was_quoted || !word.is_empty()) {
            self.separate(sink);
            sink.arguments(&format!("{}: null", quoted(&word)));
        } else if !self.key && !word.is_empty() {
            self.separate(sink);
            sink.arguments(&word_value(&word));
        }
        self.key = false;
    }

    fn begin_string(&mut self, quote: Quote, sink: &mut CallSink) {
        self.quoted = true;
        self.state = State::String { quote, escape: false };
        if !self.key {
            self.separate(sink);
            sink.arguments("\"");
        }
    }

    fn end_string(&mut self, sink: &mut CallSink) {
        self.state = State::Plain;
        if !self.key {
            self.quoted = false;
            sink.arguments("\"");
        }
    }

    /// A character of a string's value.
    fn character(&mut self, character: char, sink: &mut CallSink) {
        if self.key {
            self.word.push(character);
            return;
        }
        let mut piece = String::new();
        push_escaped(&mut piece, character);
        sink.arguments(&piece);
    }

    fn mark(&mut self, matched: usize, character: char, sink: &mut CallSink) {
        if GEMMA_QUOTE[matched..].starts_with(character) {
            if matched + 1 == GEMMA_QUOTE.len() {
                self.begin_string(Quote::Mark, sink);
            } else {
                self.state = State::Mark(matched + 1);
            }
            return;
        }
        self.word.push_str(&GEMMA_QUOTE[..matched]);
        self.word.push(character);
        self.state = State::Plain;
    }

    fn mark_in_string(&mut self, matched: usize, character: char, sink: &mut CallSink) {
        if GEMMA_QUOTE[matched..].starts_with(character) {
            if matched + 1 == GEMMA_QUOTE.len() {
                self.end_string(sink);
            } else {
                self.state = State::MarkInString(matched + 1);
            }
            return;
        }
        self.state = State::String { quote: Quote::Mark, escape: false };
        GEMMA_QUOTE[..matched].chars().for_each(|held| self.character(held, sink));
        self.string(Quote::Mark, false, character, sink);
    }

    fn string(&mut self, quote: Quote, escape: bool, character: char, sink: &mut CallSink) {
        if escape {
            self.state = State::String { quote, escape: false };
            match character {
                'n' => self.character('\n', sink),
                't' => self.character('\t', sink),
                'r' => self.character('\r', sink),
                '\\' | '\'' | '"' => self.character(character, sink),
                other => {
                    self.character('\\', sink);
                    self.character(other, sink);
                }
            }
            return;
        }
        match quote {
            Quote::Mark if character == '<' => self.state = State::MarkInString(1),
            Quote::Character(_) if character == '\\' => self.state = State::String { quote, escape: true },
            Quote::Character(own) if character == own => {
                self.state = State::QuoteSeen { quote: own, spaces: String::new() };
            }
            _ => self.character(character, sink),
        }
    }

    /// Models write apostrophes into strings in apostrophes: a quote ends the string only where a value may end.
    fn quote_seen(
        &mut self,
        quote: char,
        mut spaces: String,
        character: char,
        sink: &mut CallSink,
    ) -> Progress {
        if character.is_whitespace() {
            spaces.push(character);
            self.state = State::QuoteSeen { quote, spaces };
            return Progress::More;
        }
        if matches!(character, ',' | ')' | ']' | '}' | ':' | '=') {
            self.end_string(sink);
            return self.plain(character, sink);
        }
        self.state = State::String { quote: Quote::Character(quote), escape: false };
        self.character(quote, sink);
        spaces.chars().for_each(|space| self.character(space, sink));
        self.string(Quote::Character(quote), false, character, sink);
        Progress::More
    }
}

/// A bare word as JSON.
fn word_value(word: &str) -> String {
    match word {
        "True" | "true" => "true".to_owned(),
        "False" | "false" => "false".to_owned(),
        "None" | "null" => "null".to_owned(),
        _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => word.to_owned(),
        _ => quoted(word),
    }
}
