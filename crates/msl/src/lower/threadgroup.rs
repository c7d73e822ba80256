//! Threadgroup variables: `threadgroup float partial[32];` inside a kernel.
//!
//! C++ for OpenCL allows them, but clang makes each one a global variable, and threadgroups that run at the same
//! time would share it. So the variable becomes a reference to memory that the emulator gives to each threadgroup:
//!
//! ```text
//! auto& partial = msl_threadgroup<float[32]>(0, "partial");
//! ```
//!
//! The number tells the variables of a source apart: all threads that come to the same one get the same memory.

use crate::MslError;

use super::tokens::{Edits, Tokens};

const QUALIFIERS: [&str; 4] = ["const", "volatile", "static", "constexpr"];

pub(crate) fn edits(tokens: &Tokens) -> Result<Edits, MslError> {
    let mut edits = Edits::default();
    let mut sites = 0;
    for index in 0..tokens.len() {
        if tokens.text(index) != "threadgroup" || !tokens.is_word(index) {
            continue;
        }
        let start = statement_start(tokens, index);
        if !matches!(tokens.text_before(start), ";" | "{" | "}" | ")" | ":") {
            continue;
        }
        let Some(name) = declared_name(tokens, index + 1) else { continue };
        let (declarations, end) = declarations(tokens, index + 1, name, &mut sites)?;
        edits.replace(start..end, declarations);
    }
    Ok(edits)
}

/// The first token of the declaration: `alignas(16) threadgroup …` begins before `threadgroup`.
fn statement_start(tokens: &Tokens, index: usize) -> usize {
    let mut start = index;
    while start > 0 {
        let before = start - 1;
        let aligned = tokens
            .partner(before)
            .filter(|open| tokens.text(before) == ")" && tokens.text_before(*open) == "alignas");
        match aligned {
            Some(open) => start = open - 1,
            None if QUALIFIERS.contains(&tokens.text(before)) => start = before,
            None => break,
        }
    }
    start
}

/// The token that names the first variable, if this declares variables and not a pointer, a reference or a function.
fn declared_name(tokens: &Tokens, first: usize) -> Option<usize> {
    let mut words = 0;
    let mut at = first;
    while tokens.is_word(at) || matches!(tokens.text(at), "::" | "<") {
        // What follows a template argument list is a name of its own, as in `vec<float, 4> tile[8]`.
        words += usize::from(tokens.is_word(at));
        at = match tokens.text(at) {
            "<" => tokens.angle_partner(at)? + 1,
            _ => at + 1,
        };
    }
    let name = at.checked_sub(1)?;
    let ends_name = matches!(tokens.text(at), "[" | ";" | "," | "=");
    (words >= 2 && ends_name && tokens.is_word(name)).then_some(name)
}

/// The lowered declarations, and the token after their `;`.
fn declarations(
    tokens: &Tokens,
    first: usize,
    first_name: usize,
    sites: &mut u32,
) -> Result<(String, usize), MslError> {
    let element = tokens.join(first..first_name);
    let mut text = String::new();
    let mut name = first_name;
    loop {
        let mut end = name + 1;
        while tokens.text(end) == "[" {
            end = tokens.step(end);
        }
        let (variable, lengths) = (tokens.text(name), tokens.join(name + 1..end));
        text += &format!("auto& {variable} = msl_threadgroup<{element}{lengths}>({sites}, \"{variable}\");");
        *sites += 1;
        match tokens.text(end) {
            ";" => return Ok((text, end + 1)),
            "," if tokens.is_word(end + 1) => name = end + 1,
            "=" => {
                let message = format!("threadgroup variable `{variable}` cannot have an initial value");
                return Err(tokens.error(name, message));
            }
            other => {
                let message = format!("`{other}` cannot follow threadgroup variable `{variable}`");
                return Err(tokens.error(end, message));
            }
        }
    }
}
