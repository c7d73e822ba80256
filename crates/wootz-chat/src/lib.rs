//! The ways in which models write reasoning and tool calls, read as they stream.
//!
//! A chat model writes one stream of text. [`ChatFormat::detect`] finds out from the chat template how that stream
//! marks reasoning and tool calls; [`ChatFormat::parser`] takes it apart while it comes; [`ChatFormat::answer_grammar`]
//! is the grammar of the same syntax, so that calls and the form of the content can be enforced; [`ChatFormat::prepare`] brings the messages of a
//! request into the form that the template reads.
//!
//! # What a parser promises
//! * The result does not depend on how the text is cut into pieces: it reads one character after the other.
//! * Text is handed on as soon as it cannot be part of a marker any more.
//! * Nothing is lost: what looks like a call but is not one, becomes content, markers included. Once the name of a tool
//!   has been handed on, what follows in the place of the arguments is that call's arguments, well-formed or not.
//! * Whitespace next to a marker is the format's, not the answer's, and is dropped.
#![forbid(unsafe_code)]

mod calls;
mod delta;
mod detect;
mod format;
mod formats;
mod grammar;
mod harmony;
mod ids;
mod json_text;
mod markers;
mod parser;
mod prepare;
mod render;
mod scanner;
mod sections;
mod syntax;
mod tokens;
mod tools;

pub use delta::Delta;
pub use format::{AnswerPlace, ChatFormat, ReasoningMarkers};
pub use grammar::{AnswerForm, UnmarkedCalls};
pub use parser::{OutputParser, ParserSettings, ReasoningOutput};
pub use render::WrittenCall;
pub use tokens::MarkerToken;
pub use tools::{Parallel, Strictness, ToolChoice, ToolDefinition, Tools};
