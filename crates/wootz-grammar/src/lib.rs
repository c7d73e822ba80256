//! Structured output: which tokens a grammar allows next.
//!
//! A [`GrammarSource`] (JSON schema, JSON object, regular expression, Lark, GBNF, list of choices) is compiled by a
//! [`GrammarCompiler`] for one model's [`Vocabulary`]. The [`Grammar`] that comes out follows one answer token by
//! token: [`Grammar::mask`] says which tokens may come next, [`Grammar::accept`] takes the one that was chosen.
//!
//! The parser behind it is `llguidance`; GBNF is parsed here and translated. Grammars come from outside, so all sizes
//! and all work are bounded ([`GrammarLimits`]) and a failure inside the parser is an error of that grammar only.
#![forbid(unsafe_code)]

mod compiler;
mod error;
mod gbnf;
mod grammar;
mod limits;
mod mask;
mod schema;
mod source;
mod vocabulary;

pub use compiler::GrammarCompiler;
pub use error::GrammarError;
pub use grammar::Grammar;
pub use limits::GrammarLimits;
pub use mask::TokenMask;
pub use schema::check_strict;
pub use source::GrammarSource;
pub use vocabulary::{TokenText, Vocabulary};
