//! A compiled grammar on its way through one answer.

use llguidance::api::StopReason;
use llguidance::{Matcher, TokenParser};

use crate::error::plain;
use crate::{GrammarError, TokenMask, Vocabulary};

/// A grammar and how far an answer has come in it. A clone goes on from the same place, on its own.
#[derive(Clone)]
pub struct Grammar {
    matcher: Box<Matcher>,
    vocabulary: Vocabulary,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Grammar").field("state", &self.matcher.stop_reason()).finish_non_exhaustive()
    }
}

impl Grammar {
    pub(crate) fn new(parser: TokenParser, vocabulary: Vocabulary) -> Self {
        Self { matcher: Box::new(Matcher::new(Ok(parser))), vocabulary }
    }

    /// Fills `mask` with the tokens that may come next, end tokens among them where the answer may end.
    ///
    /// # Errors
    /// The work allowed for one mask is spent; or an error before has broken this grammar.
    pub fn mask(&mut self, mask: &mut TokenMask) -> Result<(), GrammarError> {
        match self.matcher.compute_mask_or_eos() {
            Ok(set) => {
                mask.copy_from(set.as_slice());
                // "Any token" in a grammar is any that the model can mean.
                mask.keep(self.vocabulary.usable());
                Ok(())
            }
            Err(error) => Err(self.error(&error.to_string())),
        }
    }

    /// Whether there is a first token, or an end.
    pub(crate) fn check_beginning(&mut self) -> Result<(), GrammarError> {
        self.matcher.compute_mask_or_eos().map(drop).map_err(|error| self.error(&error.to_string()))
    }

    /// Goes on past a token. A refused token leaves the state as it was.
    ///
    /// # Errors
    /// [`GrammarError::Refused`] for a token that the mask forbids; others as for [`Self::mask`].
    pub fn accept(&mut self, token: u32) -> Result<(), GrammarError> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Err(GrammarError::Refused { token });
        }
        match self.matcher.try_consume_tokens(&[token]) {
            Ok(1) => Ok(()),
            Ok(_) => Err(GrammarError::Refused { token }),
            Err(error) => Err(self.error(&error.to_string())),
        }
    }

    /// Whether the answer may end here.
    ///
    /// # Errors
    /// As for [`Self::mask`].
    pub fn may_end(&mut self) -> Result<bool, GrammarError> {
        self.matcher.is_accepting().map_err(|error| self.error(&error.to_string()))
    }

    /// Whether nothing but the end may follow.
    pub fn is_complete(&self) -> bool {
        !self.matcher.is_error() && self.matcher.is_stopped()
    }

    fn error(&self, message: &str) -> GrammarError {
        match self.matcher.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                GrammarError::TooComplex(plain(message))
            }
            _ => GrammarError::Failed(plain(message)),
        }
    }
}
