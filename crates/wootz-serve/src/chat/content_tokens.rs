//! Which tokens are the content's: their log probabilities are told, those of markers, reasoning and calls are not.

use std::collections::VecDeque;

use crate::token_text::TokenText;

/// The tokens of an answer, on their way to the client.
#[derive(Debug, Default)]
pub struct ContentTokens {
    /// Tokens whose text the parser has not handed on yet.
    undecided: Vec<TokenText>,
    /// Tokens of the content, each with the byte of the content at which it begins.
    decided: VecDeque<(usize, TokenText)>,
    /// Bytes of content that the parser has handed on.
    content: usize,
    /// Bytes of content that the client has got.
    passed: usize,
}

impl ContentTokens {
    /// Takes tokens in whose text goes to the parser now.
    pub fn push(&mut self, tokens: Vec<TokenText>) {
        self.undecided.extend(tokens);
    }

    /// The parser has handed content on. It is the latest text of the tokens, but for what the parser holds back; what
    /// came before it was a marker.
    pub fn found(&mut self, text: &str) {
        let begin = self.content;
        self.content += text.len();
        let spelled: Vec<u8> = self.undecided.iter().flat_map(|token| token.bytes.iter().copied()).collect();
        let place = last_place(&spelled, text.as_bytes());
        // Bytes that are no text became replacement characters: then all of them are meant.
        let (start, end) = place.map_or((0, spelled.len()), |start| (start, start + text.len()));
        let mut at = 0;
        for token in std::mem::take(&mut self.undecided) {
            let (first, last) = (at, at + token.bytes.len());
            at = last;
            if first >= end {
                self.undecided.push(token);
            } else if last > start {
                self.decided.push_back((begin + first.saturating_sub(start), token));
            }
        }
    }

    /// Everything that the parser was given was no content.
    pub fn clear(&mut self) {
        self.undecided.clear();
    }

    /// The client gets this many bytes of content more: the tokens that begin in them.
    pub fn release(&mut self, bytes: usize) -> Vec<TokenText> {
        self.passed += bytes;
        let begun = self.decided.iter().take_while(|(start, _)| *start < self.passed).count();
        self.decided.drain(..begun).map(|(_, token)| token).collect()
    }
}

/// Where a text last stands in another.
fn last_place(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let last = text.len().checked_sub(wanted.len())?;
    (0..=last).rev().find(|&at| text[at..].starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> TokenText {
        TokenText { token: 0, bytes: text.into(), offset: 0, logprob: Some(-1.0), top: Vec::new() }
    }

    fn texts(tokens: &[TokenText]) -> String {
        String::from_utf8(tokens.iter().flat_map(|token| token.bytes.clone()).collect()).unwrap()
    }

    #[test]
    fn markers_before_and_text_held_back_after_are_left_out() {
        let mut tokens = ContentTokens::default();
        tokens.push(["</", "think", ">", "\n\n", "He", "llo", " <"].map(token).into());
        tokens.found("Hello ");
        assert_eq!(texts(&tokens.release(3)), "Hello");
        assert_eq!(texts(&tokens.release(3)), " <");
        tokens.push(vec![token("b")]);
        tokens.found("<b");
        assert_eq!(texts(&tokens.release(2)), "b");
    }
}
