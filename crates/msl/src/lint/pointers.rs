//! Pointers and references: each says which memory space it leads to.
//!
//! `a * b` may be a product or declare a pointer. It declares one if what stands before the star is a type: a type of
//! Metal, one that the source declares, or a template's parameter.

use std::collections::BTreeSet;

use crate::lower::tokens::Tokens;
use crate::lower::types::is_number_or_vector;

use super::{Finding, Rule};

const SPACES: [&str; 4] = ["device", "constant", "threadgroup", "thread"];
/// Words that may stand around a type's name.
const QUALIFIERS: [&str; 9] =
    ["const", "volatile", "static", "inline", "constexpr", "typename", "unsigned", "struct", "METAL_FUNC"];

pub(super) fn findings(tokens: &Tokens) -> Vec<Finding> {
    let types = declared_types(tokens);
    let mut findings = Vec::new();
    for index in 0..tokens.len() {
        if !matches!(tokens.text(index), "*" | "&" | "&&") {
            continue;
        }
        let Some(first) = type_start(tokens, index, &types) else { continue };
        let has_space = (first..index).any(|word| SPACES.contains(&tokens.text(word)));
        if !has_space {
            let kind = if tokens.text(index) == "*" { "pointer" } else { "reference" };
            let name = tokens.join(first..index);
            let message = format!(
                "a {kind} to `{name}` without a memory space: write device, constant, threadgroup or thread before it"
            );
            findings.push(tokens.finding(index, Rule::AddressSpace, message));
        }
    }
    findings
}

/// If a type ends before `end`, its first token, qualifiers included.
fn type_start(tokens: &Tokens, end: usize, types: &BTreeSet<&str>) -> Option<usize> {
    let mut at = end;
    let mut named = false;
    loop {
        let before = at.checked_sub(1)?;
        let word = tokens.text(before);
        let qualifier = QUALIFIERS.contains(&word) || SPACES.contains(&word);
        if qualifier {
            at = before;
        } else if !named && word == ">" {
            at = template_start(tokens, before)?;
            named = tokens.is_word(at) && is_type(tokens.text(at), types);
            if !named {
                return None;
            }
        } else if !named && tokens.is_word(before) && (is_type(word, types) || is_dependent(tokens, before)) {
            named = true;
            at = before;
            while tokens.text_before(at) == "::" && at >= 2 {
                at -= 2;
                if tokens.text(at) == ">" {
                    at = template_start(tokens, at)?;
                }
            }
        } else {
            break;
        }
        if at == 0 {
            break;
        }
    }
    let pointer_to_pointer = !named && at == end && matches!(tokens.text_before(end), "*");
    (named || pointer_to_pointer && declares_pointer(tokens, end - 1, types)).then_some(at)
}

/// Whether the star at `index` belongs to a type, so that one after it makes a pointer to a pointer.
fn declares_pointer(tokens: &Tokens, index: usize, types: &BTreeSet<&str>) -> bool {
    type_start(tokens, index, types).is_some()
}

/// The name before the template argument list that ends at `close`.
fn template_start(tokens: &Tokens, close: usize) -> Option<usize> {
    // A list is short; a `>` that compares has no `<` near.
    let nearest = close.saturating_sub(64);
    let open = (nearest..close)
        .rev()
        .find(|open| tokens.text(*open) == "<" && tokens.angle_partner(*open) == Some(close));
    open?.checked_sub(1)
}

/// `typename T::Block`
fn is_dependent(tokens: &Tokens, index: usize) -> bool {
    tokens.text_before(index) == "::" && index >= 3 && tokens.text(index - 3) == "typename"
}

fn is_type(word: &str, types: &BTreeSet<&str>) -> bool {
    let metal = matches!(word, "void" | "matrix" | "array" | "atomic" | "simdgroup_matrix")
        || word.starts_with("simdgroup_") && word.ends_with("8x8")
        || word.starts_with("atomic_") && ["int", "uint", "float", "bool"].contains(&&word[7..]);
    is_number_or_vector(word) || metal || types.contains(word)
}

/// Names of structs, aliases and template parameters, wherever they are declared.
fn declared_types(tokens: &Tokens) -> BTreeSet<&str> {
    let mut types = BTreeSet::new();
    for index in 0..tokens.len() {
        let name = match tokens.text(index) {
            "struct" | "class" | "union" | "enum" | "using" | "typename" if tokens.is_word(index + 1) => {
                index + 1
            }
            "typedef" => {
                let mut end = index;
                while !matches!(tokens.text(end), ";" | "") {
                    end = tokens.step(end);
                }
                end.saturating_sub(1)
            }
            _ => continue,
        };
        if tokens.is_word(name)
            && !matches!(tokens.text(name), "namespace" | "class")
            && tokens.text(name + 1) != "::"
        {
            types.insert(tokens.text(name));
        }
    }
    types
}
