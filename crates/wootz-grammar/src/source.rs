//! What an answer may be held to.

use llguidance::api::GrammarWithLexer;
use serde_json::Value;

use crate::{GrammarError, GrammarLimits};

/// A description of all answers that are allowed.
#[derive(Debug, Clone, PartialEq)]
pub enum GrammarSource {
    /// JSON text that satisfies a schema (the drafts' common core; what is not enforced is refused).
    JsonSchema(Value),
    /// Any JSON object.
    JsonObject,
    /// Text that a regular expression (Rust's syntax) matches from beginning to end.
    Regex(String),
    /// A grammar in `llguidance`'s dialect of Lark; it begins at `start`.
    Lark(String),
    /// A grammar in llama.cpp's dialect of BNF; it begins at `root`.
    Gbnf(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A Lark grammar in which `@name` stands for another source.
    Composed {
        /// The grammar; it begins at `start`.
        lark: String,
        /// The other sources, each with its name: letters, digits, `_` and `-`.
        parts: Vec<(String, GrammarSource)>,
    },
}

impl GrammarSource {
    /// What it is called in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            GrammarSource::JsonSchema(_) => "JSON schema",
            GrammarSource::JsonObject => "JSON object mode",
            GrammarSource::Regex(_) => "regular expression",
            GrammarSource::Lark(_) => "Lark grammar",
            GrammarSource::Gbnf(_) => "GBNF grammar",
            GrammarSource::Choice(_) => "list of choices",
            GrammarSource::Composed { .. } => "grammar of the answer",
        }
    }
}

/// A regular expression, after checking what the parser's own reading of it would pass over.
pub(crate) fn regex(text: &str, limits: &GrammarLimits) -> Result<GrammarWithLexer, GrammarError> {
    let kind = "regular expression";
    bounded(kind, "bytes", text.len(), limits.bytes)?;
    let text = whole(text);
    if text.is_empty() {
        return Err(GrammarError::source(kind, "it matches only the empty text"));
    }
    let backslashes = text.len() - text.trim_end_matches('\\').len();
    if !backslashes.is_multiple_of(2) {
        return Err(GrammarError::source(kind, "it ends with a backslash that escapes nothing"));
    }
    Ok(GrammarWithLexer::from_regex(text))
}

/// Without the anchors around the whole: all of the text has to match in any case.
fn whole(text: &str) -> &str {
    let text = text.strip_prefix('^').unwrap_or(text);
    match text.strip_suffix('$') {
        Some(rest) if (rest.len() - rest.trim_end_matches('\\').len()).is_multiple_of(2) => rest,
        _ => text,
    }
}

/// A Lark grammar, after bounding what its parser recurses on.
pub(crate) fn lark(text: &str, limits: &GrammarLimits) -> Result<GrammarWithLexer, GrammarError> {
    let kind = "Lark grammar";
    bounded(kind, "bytes", text.len(), limits.bytes)?;
    // Brackets in strings and comments are counted too: the bound is far above what a grammar needs.
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    bounded(kind, "levels of brackets", deepest, limits.depth)?;
    bounded(kind, "rules", text.lines().filter(|line| line.contains(':')).count(), limits.rules)?;
    if text.trim().is_empty() {
        return Err(GrammarError::source(kind, "it is empty; it needs a rule named \"start\""));
    }
    Ok(GrammarWithLexer::from_lark(text.to_owned()))
}

/// One of several texts.
pub(crate) fn choice(choices: &[String], limits: &GrammarLimits) -> Result<GrammarWithLexer, GrammarError> {
    let kind = "list of choices";
    bounded(kind, "entries", choices.len(), limits.parts)?;
    bounded(kind, "bytes", choices.iter().map(String::len).sum(), limits.bytes)?;
    let texts: Vec<String> = choices.iter().filter(|text| !text.is_empty()).map(|text| quote(text)).collect();
    let optional = if texts.len() < choices.len() { "?" } else { "" };
    if texts.is_empty() {
        return Err(GrammarError::source(kind, "there is nothing to choose from"));
    }
    let lark = format!("start: CHOICE{optional}\nCHOICE: {}\n", texts.join(" | "));
    Ok(GrammarWithLexer::from_lark(lark))
}

/// A text as a Lark string, which is JSON's.
fn quote(text: &str) -> String {
    // Lark's strings do not hold DEL as it is.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

pub(crate) fn bounded(
    kind: &'static str,
    unit: &'static str,
    found: usize,
    limit: usize,
) -> Result<(), GrammarError> {
    if found > limit { Err(GrammarError::TooLarge { kind, unit, found, limit }) } else { Ok(()) }
}
