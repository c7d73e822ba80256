//! What can go wrong between a grammar and its tokens.

/// An error of a grammar, in words for the one who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// A grammar that does not parse, or asks for what cannot be enforced.
    #[error("the {kind} cannot be used: {problem}")]
    Source {
        /// What it is: "JSON schema", "regular expression", "Lark grammar", "GBNF grammar", "list of choices".
        kind: &'static str,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// A part of a JSON schema that cannot be enforced.
    #[error("the JSON schema cannot be enforced at {pointer}: {problem}")]
    Schema {
        /// Where, as a JSON pointer: `#/properties/name`.
        pointer: String,
        /// What stands there, and what is possible.
        problem: String,
    },
    /// A grammar above a limit.
    #[error("the {kind} has {found} {unit}, but at most {limit} are allowed")]
    TooLarge {
        /// What it is.
        kind: &'static str,
        /// What was counted.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A grammar whose next tokens take more work than is allowed.
    #[error("the grammar is too ambiguous or too complex to follow: {0}")]
    TooComplex(String),
    /// A token that the grammar does not allow at this place.
    #[error("token {token} is not allowed by the grammar here")]
    Refused {
        /// Its id.
        token: u32,
    },
    /// Tokens of a model that no grammar can be followed with.
    #[error("this model's vocabulary cannot be used with grammars: {0}")]
    Vocabulary(String),
    /// The parser failed on a grammar that it had taken.
    #[error("the grammar's parser failed: {0}")]
    Failed(String),
}

impl GrammarError {
    /// An error of the grammar's own text.
    pub(crate) fn source(kind: &'static str, problem: impl Into<String>) -> Self {
        GrammarError::Source { kind, problem: problem.into() }
    }
}

/// The first part of a message of the parser: it appends marks and, after a panic, a backtrace.
pub(crate) fn plain(message: &str) -> String {
    let end = ["\n<non-verbose/>", "\n<state>", "\n<backtrace>"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    message[..end].trim().to_owned()
}
