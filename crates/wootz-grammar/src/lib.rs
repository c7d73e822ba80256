//! Structured output: which tokens a grammar allows next.
#![forbid(unsafe_code)]
