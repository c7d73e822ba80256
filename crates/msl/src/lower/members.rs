//! Member functions for objects in a memory space: `float scale(uint i) const device { … }`.
//!
//! Metal wants a qualifier for each memory space that the object may lie in. C++ for OpenCL gives a member function
//! without one an object in any space. So the qualifiers go, and of functions that differ in nothing else the first
//! stays.

use std::collections::BTreeSet;

use super::tokens::{Edits, Tokens};

const SPACES: [&str; 4] = ["device", "constant", "thread", "threadgroup"];

pub(crate) fn edits(tokens: &Tokens) -> Edits {
    let mut edits = Edits::default();
    let mut seen = BTreeSet::new();
    let mut removed_to = 0;
    for index in 0..tokens.len() {
        if index < removed_to || !SPACES.contains(&tokens.text(index)) {
            continue;
        }
        let before = if tokens.text_before(index) == "const" { index.saturating_sub(1) } else { index };
        let after = if tokens.text(index + 1) == "const" { index + 2 } else { index + 1 };
        if tokens.text_before(before) != ")" || !matches!(tokens.text(after), "{" | ";") {
            continue;
        }
        let Some(parameters) = tokens.partner(before - 1) else { continue };
        let start = declaration_start(tokens, parameters);
        let signature = (enclosing_brace(tokens, start), tokens.join(start..before));
        if seen.insert(signature) {
            edits.remove(index..index + 1);
        } else {
            removed_to = tokens.step(after);
            edits.remove(start..removed_to);
        }
    }
    edits
}

/// The first token of the member function whose parameters open at `parameters`.
fn declaration_start(tokens: &Tokens, parameters: usize) -> usize {
    let mut start = parameters;
    while start > 0 && !matches!(tokens.text_before(start), ";" | "{" | "}" | ":" | "") {
        start -= 1;
        if let Some(open) = tokens.partner(start).filter(|open| *open < start) {
            start = open;
        }
    }
    start
}

fn enclosing_brace(tokens: &Tokens, index: usize) -> usize {
    let mut at = index;
    while at > 0 {
        at -= 1;
        match tokens.partner(at) {
            Some(partner) if partner < at => at = partner,
            Some(_) if tokens.text(at) == "{" => return at,
            _ => {}
        }
    }
    0
}
