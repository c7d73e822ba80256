//! The ways in which models write reasoning and tool calls, read as they stream.
#![forbid(unsafe_code)]
