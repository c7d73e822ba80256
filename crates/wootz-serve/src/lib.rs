//! The HTTP server: the OpenAI API over the engine.
#![forbid(unsafe_code)]

pub mod json;
