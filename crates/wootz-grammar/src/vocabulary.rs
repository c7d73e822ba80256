//! A model's tokens as a grammar sees them.

use std::sync::Arc;

use llguidance::panic_utils::catch_unwind;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};

use crate::error::plain;
use crate::{GrammarError, TokenMask};

/// Longer tokens are forbidden: the trie holds at most 1,024 bytes a token, its mark for special tokens included.
const LONGEST_TOKEN: usize = 1000;

/// The most tokens of a vocabulary: the trie counts its nodes in 22 bits.
const MOST_TOKENS: usize = 1 << 21;

/// A token: the bytes that it writes, or the name of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText {
    /// Its bytes, perhaps a part of a character. Empty: an id that stands for nothing and is never allowed.
    pub bytes: Vec<u8>,
    /// Whether it is structure (`<|im_end|>`) and not text. A grammar allows it only where it names it.
    pub special: bool,
}

/// The tokens of a model, as a tree of their bytes. Cheap to clone.
#[derive(Clone)]
pub struct Vocabulary {
    environment: TokEnv,
    /// The ids that stand for something.
    usable: Arc<TokenMask>,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Vocabulary").field("tokens", &self.len()).finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// A vocabulary of `tokens`, by id, of which `ends` end an answer.
    ///
    /// # Errors
    /// No tokens at all, or far too many.
    pub fn new(tokens: impl Iterator<Item = TokenText>, ends: &[u32]) -> Result<Self, GrammarError> {
        let mut words: Vec<Vec<u8>> = Vec::new();
        for (id, token) in tokens.enumerate() {
            let special = token.special || ends.contains(&(id as u32));
            words.push(word(token.bytes, special));
            if words.len() > MOST_TOKENS {
                let problem = format!("it has more than {MOST_TOKENS} tokens");
                return Err(GrammarError::Vocabulary(problem));
            }
        }
        if words.iter().all(Vec::is_empty) {
            return Err(GrammarError::Vocabulary("none of its tokens is text".to_owned()));
        }
        let mut usable = TokenMask::none(words.len());
        let meant = words.iter().enumerate().filter(|(_, word)| !word.is_empty());
        meant.for_each(|(id, _)| usable.allow(id as u32));
        let ends: Vec<u32> = ends.iter().copied().filter(|end| (*end as usize) < words.len()).collect();
        let info = TokRxInfo::new(words.len() as u32, ends.first().copied().unwrap_or(INVALID_TOKEN));
        // The trie asserts what it assumes of sizes.
        let build = || {
            let trie = TokTrie::from(&info, &words);
            Ok(if ends.is_empty() { trie } else { trie.with_eos_tokens(&ends) })
        };
        let trie = catch_unwind(std::panic::AssertUnwindSafe(build))
            .map_err(|error| GrammarError::Vocabulary(plain(&error.to_string())))?;
        // Not canonical: any spelling of an allowed text by tokens is allowed, and the model chooses.
        Ok(Self { environment: Arc::new(ApproximateTokEnv::new(trie)), usable: Arc::new(usable) })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.environment.tok_trie().vocab_size()
    }

    /// Whether there is no token; never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token of this name, if it is a mark, or of exactly this text.
    pub fn token(&self, text: &str) -> Option<u32> {
        let trie = self.environment.tok_trie();
        if text.is_empty() {
            return None;
        }
        trie.get_special_token(text).or_else(|| trie.token_id_at_bytes(text.as_bytes()))
    }

    /// The bytes of a token of text; `None` for marks, unused ids and ids outside.
    pub fn text(&self, token: u32) -> Option<&[u8]> {
        let trie = self.environment.tok_trie();
        if token as usize >= trie.vocab_size() {
            return None;
        }
        let bytes = trie.token(token);
        (!bytes.is_empty() && bytes[0] != TokTrie::SPECIAL_TOKEN_MARKER).then_some(bytes)
    }

    /// The tokens that end an answer.
    pub fn ends(&self) -> &[u32] {
        match self.environment.tok_trie().eos_tokens() {
            [INVALID_TOKEN] => &[],
            ends => ends,
        }
    }

    pub(crate) fn usable(&self) -> &TokenMask {
        &self.usable
    }

    pub(crate) fn environment(&self) -> &TokEnv {
        &self.environment
    }
}

/// A token as the trie wants it: marks begin with a byte that no text contains; nothing for what is never allowed.
fn word(bytes: Vec<u8>, special: bool) -> Vec<u8> {
    if bytes.is_empty() || bytes.len() > LONGEST_TOKEN {
        return Vec::new();
    }
    if special {
        let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
        word.extend(bytes);
        return word;
    }
    if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) { Vec::new() } else { bytes }
}
