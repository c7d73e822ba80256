//! A JSON schema of any value: checked, compiled, and followed for a few tokens.
//!
//! `cargo +nightly fuzz run json_schema`
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wootz_grammar::{GrammarCompiler, GrammarSource, TokenMask, TokenText, Vocabulary, check_strict};

/// All bytes, and an end.
static COMPILER: LazyLock<GrammarCompiler> = LazyLock::new(|| {
    let byte = |byte: u8| TokenText { bytes: vec![byte], special: false };
    let end = TokenText { bytes: b"<|end|>".to_vec(), special: true };
    let tokens = (0..=255).map(byte).chain([end]);
    Vocabulary::new(tokens, &[256]).and_then(GrammarCompiler::new).expect("a small vocabulary")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(schema) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let _ = check_strict(&schema);
    let Ok(mut grammar) = COMPILER.compile(&GrammarSource::JsonSchema(schema)) else { return };
    let mut mask = TokenMask::none(257);
    for _ in 0..8 {
        if grammar.is_complete() || grammar.mask(&mut mask).is_err() {
            return;
        }
        let Some(token) = mask.tokens().next() else { return };
        grammar.accept(token).expect("the mask allows it");
    }
});
