//! A JSON schema of any value: checked, compiled, and followed for a few tokens.
//!
//! `cargo +nightly fuzz run json_schema`
#![no_main]

mod grammar;

use libfuzzer_sys::fuzz_target;
use wootz_grammar::{GrammarSource, check_strict};

fuzz_target!(|bytes: &[u8]| {
    let Ok(schema) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let _ = check_strict(&schema);
    grammar::follow(&GrammarSource::JsonSchema(schema));
});
