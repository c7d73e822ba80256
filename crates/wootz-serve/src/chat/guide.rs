//! How a model's answers are written, and what steers their reasoning: what a chat format means for its tokenizer.

use wootz_chat::{AnswerPlace, ChatFormat, MarkerToken};
use wootz_engine::ReasoningGuide;
use wootz_grammar::Grammar;
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer, TokenizerError};

/// Whether what follows the reasoning is held to a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormAfter {
    /// It is free.
    Free,
    /// It follows a grammar.
    Grammar,
}

impl FormAfter {
    /// By the answer's grammar.
    pub fn of(grammar: Option<&Grammar>) -> Self {
        if grammar.is_some() { FormAfter::Grammar } else { FormAfter::Free }
    }
}

/// Where reasoning begins and ends.
#[derive(Debug, Clone, Copy)]
pub struct ReasoningBounds {
    /// Where in the answer the prompt ends.
    pub place: AnswerPlace,
    /// The most tokens of reasoning.
    pub budget: Option<usize>,
    /// What follows it.
    pub form: FormAfter,
}

/// The format of a model's answers, by its chat template and its vocabulary.
pub fn chat_format(template_source: &str, tokenizer: &Tokenizer) -> ChatFormat {
    ChatFormat::detect(template_source, |text| match tokenizer.token_id(text) {
        None => MarkerToken::Absent,
        Some(id) if tokenizer.is_special(id) => MarkerToken::Control(id),
        Some(_) => MarkerToken::Text,
    })
}

/// Where reasoning begins and ends in an answer, and how long it may be. `None`: the format has none.
///
/// # Errors
/// Markers that the tokenizer can't write.
pub fn reasoning_guide(
    format: &ChatFormat,
    tokenizer: &Tokenizer,
    bounds: ReasoningBounds,
) -> Result<Option<ReasoningGuide>, TokenizerError> {
    let Some(markers) = format.reasoning() else { return Ok(None) };
    let tokens = |text: &str| tokenizer.encode(text, Special::Parse, AddBos::Never);
    let closing = match bounds.form {
        FormAfter::Grammar => &markers.enforced_end,
        FormAfter::Free => &markers.forced_end,
    };
    Ok(Some(ReasoningGuide {
        opened: bounds.place == AnswerPlace::Reasoning,
        begins: tokens(&markers.begin)?,
        ends: tokens(&markers.end)?,
        budget: bounds.budget,
        closing: tokens(closing)?,
        forbidden: format.call_marks().into_iter().filter_map(|mark| tokenizer.token_id(mark)).collect(),
    }))
}
