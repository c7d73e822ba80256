//! The tokens of a model: their text, what kind they are, and the bytes that they stand for.

use std::sync::Arc;

use super::byte_level;
use crate::gguf::Strings;

/// What a token is for. The numbers are GGUF's (`tokenizer.ggml.token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// What stands for text that the vocabulary cannot spell.
    Unknown,
    /// A mark of structure: begin, end, a turn, a tool call. Not text.
    Control,
    /// Text that is always one token.
    UserDefined,
    /// A row of the embedding table that means nothing.
    Unused,
    /// One byte, written `<0xNN>`.
    Byte,
}

impl TokenKind {
    /// The kind that GGUF's number stands for; numbers that mean nothing are normal tokens.
    pub(super) fn from_gguf(number: u64) -> TokenKind {
        match number {
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            _ => TokenKind::Normal,
        }
    }
}

/// How the text of a normal token spells bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As GPT-2 spells them: every byte a visible character.
    ByteLevel,
    /// As SentencePiece spells them: this character for a space.
    SentencePiece(char),
    /// As BERT spells them: a word begins without this prefix, and continues with it.
    WordPiece(String),
    /// Words end with this suffix.
    WordEnd(String),
    /// Every token is a word.
    Words,
    /// As it stands.
    Verbatim,
}

/// What happens to a space at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstSpace {
    /// It was in the text.
    Kept,
    /// The encoder put it there, so that a first word is spelt as any other.
    Dropped,
}

/// The tokens of a model.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    texts: Arc<Strings>,
    kinds: Vec<TokenKind>,
    spelling: Spelling,
    pub(super) first_space: FirstSpace,
}

impl Vocabulary {
    /// Texts and kinds by id; both of the same length.
    pub(super) fn new(
        texts: Arc<Strings>,
        kinds: Vec<TokenKind>,
        spelling: Spelling,
        first_space: FirstSpace,
    ) -> Vocabulary {
        debug_assert_eq!(texts.len(), kinds.len());
        Vocabulary { texts, kinds, spelling, first_space }
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize)
    }

    pub(super) fn kind(&self, id: u32) -> Option<TokenKind> {
        self.kinds.get(id as usize).copied()
    }

    /// Appends the bytes of a token; false if there is no such token.
    pub(super) fn append_bytes(&self, id: u32, out: &mut Vec<u8>) -> bool {
        let (Some(text), Some(kind)) = (self.text(id), self.kind(id)) else { return false };
        match kind {
            TokenKind::Byte => match byte_of(text) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(text.as_bytes()),
            },
            TokenKind::Normal | TokenKind::Unused => self.spell(text, out),
            TokenKind::Unknown | TokenKind::Control | TokenKind::UserDefined => {
                out.extend_from_slice(text.as_bytes());
            }
        }
        true
    }

    fn spell(&self, text: &str, out: &mut Vec<u8>) {
        match &self.spelling {
            Spelling::ByteLevel => byte_level::decode(text, out),
            Spelling::SentencePiece(space) => {
                for (index, part) in text.split(*space).enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(part.as_bytes());
                }
            }
            Spelling::WordPiece(prefix) => match text.strip_prefix(prefix.as_str()) {
                Some(rest) => out.extend_from_slice(rest.as_bytes()),
                None => {
                    out.push(b' ');
                    out.extend_from_slice(text.as_bytes());
                }
            },
            Spelling::WordEnd(suffix) => match text.strip_suffix(suffix.as_str()) {
                Some(word) => {
                    out.extend_from_slice(word.as_bytes());
                    out.push(b' ');
                }
                None => out.extend_from_slice(text.as_bytes()),
            },
            Spelling::Words => {
                out.push(b' ');
                out.extend_from_slice(text.as_bytes());
            }
            Spelling::Verbatim => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// The byte of a text such as `<0x0A>`.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}
