//! From tokens to text while they come, never half a character.

use std::sync::Arc;

use super::Tokenizer;
use super::error::TokenizerError;
use super::vocabulary::{FirstSpace, TokenKind, Vocabulary};

/// Whether the text of special tokens (`<|im_end|>`, `</s>`) is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpecialText {
    /// Special tokens give no text.
    #[default]
    Hide,
    /// Special tokens give their names.
    Show,
}

/// Turns tokens into text one by one.
///
/// Bytes that begin a character and do not end it wait for the next token; bytes that can never become a character
/// give U+FFFD. All texts together are what [`super::Tokenizer::decode`] gives for all tokens together.
#[derive(Debug, Clone)]
pub struct DecodeStream<'a> {
    vocabulary: &'a Vocabulary,
    state: DecodeState,
}

/// As [`DecodeStream`], for callers that outlive a borrow: it keeps the tokenizer alive itself.
#[derive(Debug, Clone)]
pub struct OwnedDecodeStream {
    tokenizer: Arc<Tokenizer>,
    state: DecodeState,
}

/// What a stream knows of the tokens so far.
#[derive(Debug, Clone)]
struct DecodeState {
    special: SpecialText,
    /// The bytes of a character that is not complete: at most three.
    waiting: Vec<u8>,
    /// Whether a space that comes next is the one that the encoder put before the text.
    first_space: FirstSpace,
}

impl<'a> DecodeStream<'a> {
    pub(super) fn new(
        vocabulary: &'a Vocabulary,
        special: SpecialText,
        first_space: FirstSpace,
    ) -> DecodeStream<'a> {
        DecodeStream { vocabulary, state: DecodeState { special, waiting: Vec::new(), first_space } }
    }

    /// The same stream, owned. The tokenizer has to be the one that this stream was made by.
    pub(super) fn into_owned(self, tokenizer: Arc<Tokenizer>) -> OwnedDecodeStream {
        OwnedDecodeStream { tokenizer, state: self.state }
    }

    /// The text that is certain after this token; often empty inside a character of several tokens.
    ///
    /// # Errors
    /// An id outside the vocabulary. The stream can go on after it.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        let mut text = String::new();
        self.push_to(id, &mut text)?;
        Ok(text)
    }

    /// As [`Self::push`], appended to `out`.
    pub(super) fn push_to(&mut self, id: u32, out: &mut String) -> Result<(), TokenizerError> {
        self.state.push_to(self.vocabulary, id, out)
    }

    /// What is left at the end: U+FFFD if the tokens ended inside a character, else nothing.
    pub fn finish(&mut self) -> String {
        self.state.finish()
    }
}

impl OwnedDecodeStream {
    /// As [`DecodeStream::push`].
    ///
    /// # Errors
    /// An id outside the vocabulary. The stream can go on after it.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        let mut text = String::new();
        self.state.push_to(&self.tokenizer.vocabulary, id, &mut text)?;
        Ok(text)
    }

    /// As [`DecodeStream::finish`].
    pub fn finish(&mut self) -> String {
        self.state.finish()
    }
}

impl DecodeState {
    fn push_to(&mut self, vocabulary: &Vocabulary, id: u32, out: &mut String) -> Result<(), TokenizerError> {
        let hidden = match vocabulary.kind(id) {
            None => return Err(TokenizerError::UnknownToken { id, size: vocabulary.len() }),
            Some(TokenKind::Control | TokenKind::Unknown) => self.special == SpecialText::Hide,
            Some(_) => false,
        };
        if hidden {
            return Ok(());
        }
        let start = self.waiting.len();
        vocabulary.append_bytes(id, &mut self.waiting);
        if self.waiting.len() > start {
            if self.first_space == FirstSpace::Dropped && self.waiting.first() == Some(&b' ') {
                self.waiting.remove(0);
            }
            self.first_space = FirstSpace::Kept;
        }
        self.release(out);
        Ok(())
    }

    /// Moves everything from `waiting` to `out` but the beginning of a character.
    fn release(&mut self, out: &mut String) {
        let mut rest: &[u8] = &self.waiting;
        let kept = loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    break 0;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    // The error says that these bytes are valid; nothing is lost if it were wrong.
                    out.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    match error.error_len() {
                        Some(invalid) => {
                            out.push(char::REPLACEMENT_CHARACTER);
                            rest = &after[invalid..];
                        }
                        None => break after.len(),
                    }
                }
            }
        };
        self.waiting.drain(..self.waiting.len() - kept);
    }

    fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.waiting).into_owned();
        self.waiting.clear();
        text
    }
}
