//! Preprocessed source as tokens, and edits of them that keep every line where it was.

use std::ops::Range;
use std::rc::Rc;

use crate::{Location, MslError};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Word,
    /// A number with its suffix.
    Number,
    /// A string or character literal.
    Text,
    /// Punctuation. `>>` and `<<` are two tokens, because one closes two template argument lists.
    Symbol,
}

/// A token, with what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub text: String,
    /// White space, line markers and pragmas between the token before and this one.
    pub before: String,
    file: Rc<str>,
    line: u32,
}

/// The tokens of one preprocessed source. Brackets are known to be balanced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    list: Vec<Token>,
    /// What follows the last token.
    after: String,
    /// For each token that is a bracket, its partner.
    partners: Vec<Option<usize>>,
}

impl Tokens {
    /// Reads preprocessed text. `name` is the file that the first line belongs to.
    pub fn read(text: &str, name: &str) -> Result<Self, MslError> {
        let (list, after) = lex(text, name.into(), 1);
        Self::new(list, after)
    }

    fn new(list: Vec<Token>, after: String) -> Result<Self, MslError> {
        let partners = partners(&list)?;
        Ok(Self { list, after, partners })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The text of token `index`; empty beyond either end, so that a pass may look around freely.
    pub fn text(&self, index: usize) -> &str {
        self.list.get(index).map_or("", |token| &token.text)
    }

    pub fn kind(&self, index: usize) -> Option<Kind> {
        self.list.get(index).map(|token| token.kind)
    }

    pub fn is_word(&self, index: usize) -> bool {
        self.kind(index) == Some(Kind::Word)
    }

    /// The text of the token before `index`; empty at the beginning.
    pub fn text_before(&self, index: usize) -> &str {
        index.checked_sub(1).map_or("", |before| self.text(before))
    }

    /// The bracket that belongs to the bracket at `index`.
    pub fn partner(&self, index: usize) -> Option<usize> {
        self.partners.get(index).copied().flatten()
    }

    /// If token `index` opens a bracket, the token after the closing one; otherwise the next token.
    pub fn step(&self, index: usize) -> usize {
        self.partner(index).filter(|partner| *partner > index).unwrap_or(index) + 1
    }

    /// If `index` is a `<` that opens a template argument list, its `>`. A comparison runs into a `;` or a
    /// bracket that it did not open.
    pub fn angle_partner(&self, index: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = index;
        loop {
            match self.text(at) {
                "<" => depth += 1,
                ">" if depth == 1 => return Some(at),
                ">" => depth = depth.checked_sub(1)?,
                "" | ";" | "{" | ")" | "]" | "}" | "&&" | "||" => return None,
                _ => {}
            }
            at = self.step(at);
        }
    }

    /// The token after `index`, with bracketed and template argument lists stepped over whole.
    pub fn step_over_lists(&self, index: usize) -> usize {
        match self.text(index) {
            "<" => self.angle_partner(index).unwrap_or(index) + 1,
            _ => self.step(index),
        }
    }

    /// Whether `[[` begins at `index`.
    pub fn is_attribute(&self, index: usize) -> bool {
        self.text(index) == "[" && self.text(index + 1) == "["
    }

    /// The tokens of a range on one line, with single spaces where there was any.
    pub fn join(&self, range: Range<usize>) -> String {
        let mut joined = String::new();
        for token in self.list.get(range).unwrap_or_default() {
            if !joined.is_empty() && !token.before.is_empty() {
                joined.push(' ');
            }
            joined.push_str(&token.text);
        }
        joined
    }

    /// Where token `index` stands in the source that was written by hand.
    pub fn location(&self, index: usize) -> Location {
        let token = self.list.get(index).or(self.list.last());
        token.map_or(Location { file: String::new(), line: 1 }, |token| Location {
            file: token.file.to_string(),
            line: token.line,
        })
    }

    pub fn error(&self, index: usize, message: impl Into<String>) -> MslError {
        MslError::Syntax { location: self.location(index), message: message.into() }
    }

    /// The source with `edits` made.
    pub fn apply(self, edits: Edits) -> Result<Self, MslError> {
        if edits.0.is_empty() {
            return Ok(self);
        }
        let mut edits = edits.0;
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut list = Vec::with_capacity(self.list.len());
        // What stood before removed tokens: their newlines keep the lines below in place.
        let mut pending = String::new();
        let mut at = 0;
        for edit in edits {
            if edit.range.start < at || edit.range.end > self.list.len() {
                return Err(
                    self.error(edit.range.start, "two constructs are nested in a way that cannot be lowered")
                );
            }
            copy(&self.list[at..edit.range.start], &mut pending, &mut list);
            let place = self.location(edit.range.start);
            let (mut inserted, _) = lex(&edit.text, place.file.as_str().into(), place.line);
            for (index, token) in self.list[edit.range.clone()].iter().enumerate() {
                if index == 0 && !inserted.is_empty() {
                    inserted[0].before = std::mem::take(&mut pending) + &token.before;
                } else {
                    pending.push_str(&token.before);
                }
            }
            if pending.is_empty() && !edit.range.is_empty() {
                // The tokens on either side were apart, and must stay so.
                pending.push(' ');
            }
            list.append(&mut inserted);
            at = edit.range.end;
        }
        copy(&self.list[at..], &mut pending, &mut list);
        Self::new(list, pending + &self.after)
    }
}

impl std::fmt::Display for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for token in &self.list {
            write!(formatter, "{}{}", token.before, token.text)?;
        }
        formatter.write_str(&self.after)
    }
}

fn copy(tokens: &[Token], pending: &mut String, list: &mut Vec<Token>) {
    for token in tokens {
        let mut token = token.clone();
        if !pending.is_empty() {
            token.before = std::mem::take(pending) + &token.before;
        }
        list.push(token);
    }
}

/// What a pass wants changed: ranges of tokens, and the text that takes their place.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<Edit>);

#[derive(Debug)]
struct Edit {
    range: Range<usize>,
    text: String,
}

impl Edits {
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push(Edit { range, text: text.into() });
    }

    pub fn remove(&mut self, range: Range<usize>) {
        self.replace(range, "");
    }
}

/// Pairs the brackets, or says which one has no partner.
fn partners(list: &[Token]) -> Result<Vec<Option<usize>>, MslError> {
    let mut partners = vec![None; list.len()];
    let mut open: Vec<usize> = Vec::new();
    let unbalanced = |index: usize| {
        let token: &Token = &list[index];
        Err(MslError::Syntax {
            location: Location { file: token.file.to_string(), line: token.line },
            message: format!("`{}` has no partner", token.text),
        })
    };
    for (index, token) in list.iter().enumerate().filter(|(_, token)| token.kind == Kind::Symbol) {
        let opening = match token.text.as_str() {
            "(" | "[" | "{" => {
                open.push(index);
                continue;
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => continue,
        };
        match open.pop() {
            Some(partner) if list[partner].text == opening => {
                partners[partner] = Some(index);
                partners[index] = Some(partner);
            }
            Some(partner) => return unbalanced(partner),
            None => return unbalanced(index),
        }
    }
    open.last().map_or(Ok(partners), |index| unbalanced(*index))
}

const LONG_SYMBOLS: [&str; 22] = [
    "->*", "<<=", ">>=", "...", "::", "->", "<=", ">=", "==", "!=", "&&", "||", "++", "--", "+=", "-=", "*=",
    "/=", "%=", "&=", "|=", "^=",
];

/// Cuts text into tokens. Any text has some: what C++ would refuse becomes symbols of one character.
fn lex(text: &str, mut file: Rc<str>, mut line: u32) -> (Vec<Token>, String) {
    let mut list = Vec::new();
    let mut before = String::new();
    let mut rest = text;
    let mut line_start = true;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            before.push(first);
            rest = &rest[first.len_utf8()..];
            if first == '\n' {
                line = line.saturating_add(1);
                line_start = true;
            }
            continue;
        }
        if first == '#' && line_start {
            let end = rest.find('\n').unwrap_or(rest.len());
            let directive = &rest[..end];
            if let Some((marked_line, marked_file)) = line_marker(directive) {
                // The marker speaks of the line after its own.
                line = marked_line.saturating_sub(1);
                file = marked_file.into();
            }
            before.push_str(directive);
            rest = &rest[end..];
            continue;
        }
        line_start = false;
        let (kind, length) = token_at(rest, first);
        let text = rest[..length].to_owned();
        list.push(Token { kind, text, before: std::mem::take(&mut before), file: file.clone(), line });
        rest = &rest[length..];
    }
    (list, before)
}

/// Kind and length in bytes of the token that `rest` begins with.
fn token_at(rest: &str, first: char) -> (Kind, usize) {
    let second_is_digit = || rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if first.is_alphabetic() || first == '_' {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        (Kind::Word, end.unwrap_or(rest.len()))
    } else if first.is_ascii_digit() || first == '.' && second_is_digit() {
        (Kind::Number, number_length(rest))
    } else if first == '"' || first == '\'' {
        (Kind::Text, text_length(rest, first))
    } else {
        let long = LONG_SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
        (Kind::Symbol, long.map_or(first.len_utf8(), |symbol| symbol.len()))
    }
}

/// A preprocessing number: digits, letters, points, and a sign after an exponent letter.
fn number_length(rest: &str) -> usize {
    let hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
    let mut previous = ' ';
    for (index, letter) in rest.char_indices() {
        let exponent = if hexadecimal { "pP" } else { "eE" };
        let sign = "+-".contains(letter) && exponent.contains(previous);
        if !(letter.is_ascii_alphanumeric() || letter == '.' || letter == '_' || sign) {
            return index;
        }
        previous = letter;
    }
    rest.len()
}

/// A literal ends at its quote; one that isn't closed ends with its line.
fn text_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, letter) in rest.char_indices().skip(1) {
        match letter {
            '\n' => return index,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Line and file of a line marker, `# 12 "common/tile.h" 1` or `#line 12 "common/tile.h"`.
fn line_marker(directive: &str) -> Option<(u32, &str)> {
    let rest = directive.strip_prefix('#')?.trim_start();
    let rest = rest.strip_prefix("line").unwrap_or(rest).trim_start();
    let (line, rest) = rest.split_once(' ')?;
    let file = rest.trim_start().strip_prefix('"')?;
    let (file, _) = file.split_once('"')?;
    Some((line.parse().ok()?, file.strip_prefix("./").unwrap_or(file)))
}
