//! What steers an answer besides the sampler: how long it may reason, and the grammar that it has to follow.
//!
//! A [`Guide`] comes with a request; an [`AnswerGuide`] follows one answer. Between two tokens it gives the set of
//! tokens that may come next, which a [`MaskWorker`] computes while the device works on the step.

mod answer;
mod marks;
mod state;
mod worker;

pub use answer::{AnswerGuide, Followed};
pub use worker::MaskWorker;

use wootz_grammar::Grammar;

/// What steers an answer besides the sampler. The default leaves it free.
#[derive(Debug, Clone, Default)]
pub struct Guide {
    /// How the model marks its reasoning, and how much of it there may be.
    pub reasoning: Option<ReasoningGuide>,
    /// What the answer has to follow, from its first token on; where the model reasons, from the end of that on.
    pub grammar: Option<Grammar>,
}

/// The reasoning section of an answer.
///
/// The marks are sequences of tokens. A mark that the model spells with other tokens is not seen: models write theirs
/// with tokens that exist for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReasoningGuide {
    /// Whether the prompt ends inside the section already.
    pub opened: bool,
    /// The tokens that open a section; none: only the prompt can.
    pub begins: Vec<u32>,
    /// The tokens that close it; none: there is no section.
    pub ends: Vec<u32>,
    /// The most tokens inside, marks not counted; after them the section is closed for the model. `None`: no limit.
    pub budget: Option<usize>,
    /// What is written then: what closes the section and leads on to the answer. None: `ends`.
    pub closing: Vec<u32>,
    /// Tokens that may not come inside where a grammar follows the section: what they begin, the grammar is to hold.
    pub forbidden: Vec<u32>,
}
