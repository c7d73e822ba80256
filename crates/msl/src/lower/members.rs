//! Member functions, and the memory space of the object that they are called for.
//!
//! In Metal a member function is for objects in `thread` memory, unless it says another space after its parameters:
//! `float scale(uint i) const device { … }`. In C++ for OpenCL one that says nothing is for objects in any space, and
//! that is what most become here: the qualifiers go, and of functions that differ in nothing else the first stays.
//! Only where a function returns a reference into its object, as in `thread float& at(uint i)`, does clang have to
//! know that the object is a thread's. The lint has it know everywhere, to find calls that Metal refuses.

use std::collections::BTreeSet;
use std::ops::Range;

use super::tokens::{Edits, Tokens};

const SPACES: [&str; 4] = ["device", "constant", "thread", "threadgroup"];
/// Words that begin, or are within, what is no ordinary member function.
const OTHERS: [&str; 4] = ["static", "friend", "using", "typedef"];

/// A member function up to its body.
struct Member {
    /// Its struct's first token, to tell structs apart.
    owner: usize,
    /// Return type, name and parameters.
    declaration: Range<usize>,
    /// `const` and the memory space.
    qualifiers: Range<usize>,
    /// The token after its body or its `;`.
    end: usize,
}

/// Which functions without a memory space are kept to objects of a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those that clang does not take otherwise.
    Needed,
    /// All, as in Metal.
    All,
}

pub(crate) fn edits(tokens: &Tokens, kept: Kept) -> Edits {
    let mut edits = Edits::default();
    let mut seen = BTreeSet::new();
    for member in members(tokens) {
        let space = member.qualifiers.clone().find(|index| SPACES.contains(&tokens.text(*index)));
        let of_thread = space.is_none_or(|index| tokens.text(index) == "thread");
        let returns_thread = returns_thread(tokens, &member);
        let qualifier = if of_thread && (returns_thread || kept == Kept::All) { "__private" } else { "" };
        let constant = member.qualifiers.clone().any(|index| tokens.text(index) == "const");
        let signature = tokens.join(member.declaration.clone());
        if !seen.insert((member.owner, signature, constant, qualifier)) {
            edits.remove(member.declaration.start..member.end);
        } else if space.is_some() || !qualifier.is_empty() {
            let constant = if constant { "const " } else { "" };
            edits.replace(parenthesis(&member)..member.qualifiers.end, format!(") {constant}{qualifier}"));
        }
    }
    edits
}

/// The closing parenthesis of the parameters.
fn parenthesis(member: &Member) -> usize {
    member.declaration.end - 1
}

fn returns_thread(tokens: &Tokens, member: &Member) -> bool {
    let open = tokens.partner(parenthesis(member)).unwrap_or(member.declaration.end);
    (member.declaration.start..open).any(|index| tokens.text(index) == "thread")
}

/// All member functions that are written within their structs.
fn members(tokens: &Tokens) -> Vec<Member> {
    let mut members = Vec::new();
    for index in (0..tokens.len()).filter(|index| matches!(tokens.text(*index), "struct" | "class" | "union"))
    {
        let mut brace = index + 1;
        while !matches!(tokens.text(brace), "{" | ";" | "(" | ")" | "," | ">" | "=" | "") {
            brace = tokens.step_over_lists(brace);
        }
        let Some(end) = tokens.partner(brace).filter(|_| tokens.text(brace) == "{") else { continue };
        let name = tokens.text(index + 1);
        let mut start = brace + 1;
        while start < end {
            let (member, next) = statement(tokens, start, end, name, index);
            members.extend(member);
            start = next.max(start + 1);
        }
    }
    members
}

/// Reads the statement at `start` of a struct: the member function that it is, if it is one, and where the next begins.
fn statement(
    tokens: &Tokens,
    start: usize,
    end: usize,
    owner_name: &str,
    owner: usize,
) -> (Option<Member>, usize) {
    let mut parameters = None;
    let mut at = start;
    let mut ordinary = true;
    while at < end {
        let text = tokens.text(at);
        ordinary &= !OTHERS.contains(&text);
        match text {
            ";" => break,
            "{" => {
                at = tokens.step(at);
                let value = tokens.text(at) == ";" || tokens.is_word(at) && parameters.is_none();
                let next = if value && parameters.is_none() { at + 1 } else { at };
                return (
                    member(tokens, start, parameters, next, owner, owner_name).filter(|_| ordinary),
                    next,
                );
            }
            "=" => ordinary &= tokens.text_before(at) == "operator",
            // In `operator()(float x)` the first pair is the name.
            "(" if tokens.text_before(at) != "operator" && parameters.is_none() => parameters = Some(at),
            ":" if parameters.is_none() => {
                // `public:`
                return (None, at + 1);
            }
            _ => {}
        }
        at = tokens.step_over_lists(at);
    }
    (member(tokens, start, parameters, at + 1, owner, owner_name).filter(|_| ordinary), at + 1)
}

fn member(
    tokens: &Tokens,
    start: usize,
    parameters: Option<usize>,
    end: usize,
    owner: usize,
    owner_name: &str,
) -> Option<Member> {
    let open = parameters?;
    let close = tokens.partner(open)?;
    let name = tokens.text_before(open);
    let mut after = close + 1;
    while tokens.text(after) == "const" || SPACES.contains(&tokens.text(after)) {
        after += 1;
    }
    let special = name == owner_name || matches!(name, "alignas" | "static_assert");
    let body = matches!(tokens.text(after), "{" | ";");
    let declares = open > start + 1 && !special && body;
    declares.then_some(Member { owner, declaration: start..close + 1, qualifiers: close + 1..after, end })
}
