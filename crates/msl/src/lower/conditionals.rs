//! Conditionals: `inside ? v : float4(0.0f)`.
//!
//! For clang a variable in a memory space and a value in none are of different types, if the type is a class, as
//! vectors are here. So both sides become values: `inside ? msl_pick() ->* v : msl_pick() ->* float4(0.0f)`. The
//! operator `->*` takes what follows as it stands, up to the next `*` or `+`, so no end has to be found.

use super::tokens::{Edits, Tokens};

pub(crate) fn edits(tokens: &Tokens) -> Edits {
    let mut edits = Edits::default();
    // Question marks that wait for their colon, innermost last, each with the number of brackets open around it.
    let mut waiting: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    for index in 0..tokens.len() {
        match tokens.text(index) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                waiting.retain(|outer| *outer <= depth);
            }
            ";" => waiting.retain(|outer| *outer < depth),
            "?" => {
                waiting.push(depth);
                edits.replace(index..index + 1, "? msl_pick() ->*");
            }
            ":" if waiting.last() == Some(&depth) => {
                waiting.pop();
                edits.replace(index..index + 1, ": msl_pick() ->*");
            }
            _ => {}
        }
    }
    edits
}
