//! References that a temporary may be bound to: `float total(thread const float4& v)`, called as `total(a + b)`.
//!
//! For clang the sum is in no memory space, and a reference to `thread` memory cannot be bound to it. Without the
//! space the reference takes both. Only numbers and vectors are results of expressions like this one; a struct keeps
//! its space, which what it refers to within the struct needs.

use super::tokens::{Edits, Tokens};
use super::types::is_number_or_vector;

pub(crate) fn edits(tokens: &Tokens) -> Edits {
    let mut edits = Edits::default();
    for index in (0..tokens.len()).filter(|index| tokens.text(*index) == "thread") {
        let constant = tokens.text_before(index) == "const" || tokens.text(index + 1) == "const";
        let mut at = index + 1;
        let number = (at..at + 2).any(|word| is_number_or_vector(tokens.text(word)));
        while tokens.is_word(at) || matches!(tokens.text(at), "::" | "<") {
            at = tokens.step_over_lists(at);
        }
        if constant && number && tokens.text(at) == "&" {
            edits.remove(index..index + 1);
        }
    }
    edits
}
