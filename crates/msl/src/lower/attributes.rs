//! Attributes: `[[buffer(0)]]`, `[[kernel, max_total_threads_per_threadgroup(64)]]` and the like.

use std::ops::Range;

use crate::MslError;

use super::tokens::{Kind, Tokens};

/// One attribute of a `[[…]]` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// Its name, without `metal::`.
    pub name: String,
    /// The tokens in its brackets.
    pub arguments: Range<usize>,
    /// Its first token.
    pub at: usize,
}

/// A `[[…]]` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeList {
    /// All its tokens, brackets included.
    pub range: Range<usize>,
    pub attributes: Vec<Attribute>,
}

/// Reads the list whose `[[` stands at `start`.
pub(crate) fn read(tokens: &Tokens, start: usize) -> Result<AttributeList, MslError> {
    let malformed = || tokens.error(start, "`[[` begins an attribute list, which must end with `]]`");
    let end = tokens.partner(start).ok_or_else(malformed)?;
    let inner_end = tokens.partner(start + 1).ok_or_else(malformed)?;
    if inner_end + 1 != end {
        return Err(malformed());
    }
    let mut attributes = Vec::new();
    let mut at = start + 2;
    while at < inner_end {
        if tokens.text(at) == "metal" && tokens.text(at + 1) == "::" {
            at += 2;
        }
        if !tokens.is_word(at) {
            return Err(tokens.error(at, format!("`{}` is not the name of an attribute", tokens.text(at))));
        }
        let mut name = tokens.text(at).to_owned();
        while tokens.text(at + 1) == "::" && tokens.is_word(at + 2) {
            at += 2;
            name = format!("{name}::{}", tokens.text(at));
        }
        let (arguments, next) = match tokens.partner(at + 1) {
            Some(closing) if tokens.text(at + 1) == "(" => (at + 2..closing, closing + 1),
            _ => (at + 1..at + 1, at + 1),
        };
        attributes.push(Attribute { name, arguments, at });
        match tokens.text(next) {
            "," => at = next + 1,
            _ if next >= inner_end => break,
            other => return Err(tokens.error(next, format!("`{other}` cannot follow an attribute"))),
        }
    }
    Ok(AttributeList { range: start..end + 1, attributes })
}

impl Attribute {
    /// The number in the brackets.
    pub fn number(&self, tokens: &Tokens) -> Result<u32, MslError> {
        let text = tokens.join(self.arguments.clone());
        text.trim_end_matches(['u', 'U']).parse().map_err(|_| {
            let name = &self.name;
            tokens.error(
                self.at,
                format!("`{name}({text})`: the lowering takes a plain number here, as in `{name}(0)`"),
            )
        })
    }

    /// The string in the brackets; adjacent literals are one string, as in C.
    pub fn string(&self, tokens: &Tokens) -> Result<String, MslError> {
        let mut string = String::new();
        for index in self.arguments.clone() {
            let literal = tokens.text(index).strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            match literal {
                Some(text) if tokens.kind(index) == Some(Kind::Text) && !text.contains('\\') => {
                    string += text
                }
                _ => return Err(self.wants_string(tokens)),
            }
        }
        if string.is_empty() { Err(self.wants_string(tokens)) } else { Ok(string) }
    }

    fn wants_string(&self, tokens: &Tokens) -> MslError {
        tokens.error(
            self.at,
            format!("`{name}` takes a string, as in `{name}(\"gemv_f16\")`", name = self.name),
        )
    }
}
