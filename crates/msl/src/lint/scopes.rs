//! Variables that outlive a thread: Metal has only `constant` ones.

use crate::lower::tokens::Tokens;

use super::{Finding, Rule};

/// What a `{` opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The file, a namespace or `extern "C"`.
    Program,
    /// A struct, class or union.
    Type,
    /// A function, an initial value, an enumeration: no declarations of interest at its beginning.
    Other,
}

/// First words of what declares no variable.
const NOT_VARIABLES: [&str; 8] =
    ["using", "typedef", "static_assert", "namespace", "extern", "friend", "public", "private"];

pub(super) fn findings(tokens: &Tokens) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut scopes = vec![Scope::Program];
    let mut start = 0;
    let mut at = 0;
    while at < tokens.len() {
        let scope = scopes.last().copied().unwrap_or(Scope::Program);
        match tokens.text(at) {
            "{" => {
                let opened = opened_scope(tokens, start, at);
                let value = opened == Scope::Other && tokens.text_before(at) == "=";
                if value && scope != Scope::Other {
                    // `constant float table[] = { … };` is one declaration.
                    at = tokens.step(at);
                    continue;
                }
                scopes.push(opened);
                start = at + 1;
            }
            "}" => {
                scopes.pop();
                start = at + 1;
            }
            ";" => {
                findings.extend(declaration(tokens, start, at, scope));
                start = at + 1;
            }
            "(" | "[" => {
                at = tokens.step(at);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    findings
}

fn opened_scope(tokens: &Tokens, start: usize, brace: usize) -> Scope {
    let has = |wanted: &str| (start..brace).any(|index| tokens.text(index) == wanted);
    if has("(") || has("=") || has("enum") {
        Scope::Other
    } else if has("struct") || has("class") || has("union") {
        Scope::Type
    } else if has("namespace") || has("extern") {
        Scope::Program
    } else {
        Scope::Other
    }
}

/// Looks at the statement `start..end` of a scope.
fn declaration(tokens: &Tokens, start: usize, end: usize, scope: Scope) -> Option<Finding> {
    let mut first = start;
    if tokens.text(first) == "template" {
        first = tokens.angle_partner(first + 1)? + 1;
    }
    let word = tokens.text(first);
    // What follows a struct's `}` is a name or nothing.
    let of_type = tokens.text_before(start) == "}" && end <= start + 1;
    let value = (first..end).find(|index| tokens.text(*index) == "=").unwrap_or(end);
    let has = |wanted: &str| (first..value).any(|index| tokens.text(index) == wanted);
    let is_static = has("static");
    if end <= first + 1 || of_type || NOT_VARIABLES.contains(&word) || has("constant") {
        return None;
    }
    match scope {
        Scope::Program if has("(") || is_type_declaration(word, end - first) => None,
        Scope::Program => {
            let message =
                "a variable outside of functions must be `constant`, as in `constant float scale = 2.0f;`";
            Some(tokens.finding(first, Rule::ProgramScope, message))
        }
        Scope::Type if is_static && !has("(") => {
            let message =
                "a static member must be `constant`, as in `static constant constexpr uint rows = 4;`";
            Some(tokens.finding(first, Rule::ProgramScope, message))
        }
        Scope::Other if is_static => {
            let message = "a variable in a function cannot be static";
            Some(tokens.finding(first, Rule::MutableStatic, message))
        }
        Scope::Type | Scope::Other => None,
    }
}

/// `struct Name;` and `template struct Name<float>;`
fn is_type_declaration(word: &str, length: usize) -> bool {
    matches!(word, "struct" | "class" | "union" | "enum") && length == 2 || word == "template"
}
