//! The guide of one answer, wherever its mask is being computed.

use wootz_grammar::TokenMask;

use super::worker::{Guided, MaskWorker};
use super::{Guide, state::GuideState};
use crate::EngineError;

/// What a token means for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// More may come.
    Continues,
    /// The grammar is complete: nothing but the end may come.
    Complete,
}

/// Follows one answer: which tokens may come next, and when it is complete.
///
/// The order of calls for each token: [`Self::prepare`] (may be left out), [`Self::allowed`], [`Self::observe`].
#[derive(Debug)]
pub struct AnswerGuide {
    place: Place,
}

/// Where the state is.
#[derive(Debug)]
enum Place {
    Here(Box<Guided>),
    /// With the worker, who sends it back with the next mask.
    Away(flume::Receiver<Box<Guided>>),
    /// The worker is gone, and took it along.
    Lost,
}

impl AnswerGuide {
    /// The guide of an answer that has no token yet. `vocab` is the width of the model's logits.
    pub fn new(guide: Guide, end_tokens: &[u32], vocab: usize) -> Self {
        let state = GuideState::new(guide, end_tokens);
        let mask = if state.is_free() { TokenMask::default() } else { TokenMask::none(vocab) };
        Self { place: Place::Here(Box::new(Guided { state, mask, next: None })) }
    }

    /// Whether no mask will ever be asked of it: the device may draw the tokens.
    pub fn is_free(&self) -> bool {
        match &self.place {
            Place::Here(guided) => guided.state.is_free(),
            Place::Away(_) | Place::Lost => false,
        }
    }

    /// Has the mask of the next token computed, and returns at once.
    pub fn prepare(&mut self, worker: &MaskWorker) {
        self.place = match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Here(guided) if guided.next.is_none() && !guided.state.is_free() => {
                match worker.submit(guided) {
                    Ok(back) => Place::Away(back),
                    Err(guided) => Place::Here(guided),
                }
            }
            other => other,
        };
    }

    /// The tokens that may come next, after waiting for the worker or computing them here; `None`: all of them.
    ///
    /// # Errors
    /// The grammar is too complex to follow from here.
    pub fn allowed(&mut self) -> Result<Option<&TokenMask>, EngineError> {
        let guided = self.settle()?;
        if guided.next.is_none() {
            guided.compute();
        }
        match &guided.next {
            Some(Ok(true)) => Ok(Some(&guided.mask)),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(false)) | None => Ok(None),
        }
    }

    /// Takes in the token that was chosen; not an end token that has ended the answer.
    ///
    /// # Errors
    /// A token that [`Self::allowed`] does not allow.
    pub fn observe(&mut self, token: u32) -> Result<Followed, EngineError> {
        self.settle()?.observe(token)
    }

    /// The guide of another answer with the same tokens so far.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn fork(&mut self) -> Result<Self, EngineError> {
        let guided = self.settle()?.clone();
        Ok(Self { place: Place::Here(Box::new(guided)) })
    }

    /// Tokens of the answer inside its reasoning, marks not counted.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn reasoning_tokens(&mut self) -> Result<usize, EngineError> {
        Ok(self.settle()?.state.reasoned())
    }

    fn settle(&mut self) -> Result<&mut Guided, EngineError> {
        if let Place::Away(back) = &self.place {
            self.place = back.recv().map_or(Place::Lost, Place::Here);
        }
        match &mut self.place {
            Place::Here(guided) => Ok(guided),
            Place::Away(_) | Place::Lost => {
                Err(EngineError::Guide { reason: "the thread that computes masks has stopped".to_owned() })
            }
        }
    }
}
