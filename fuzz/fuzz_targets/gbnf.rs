//! A GBNF grammar of any text: parsed, compiled, and followed for a few tokens.
//!
//! `cargo +nightly fuzz run gbnf`
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wootz_grammar::{GrammarCompiler, GrammarSource, TokenMask, TokenText, Vocabulary};

/// All bytes, and an end.
static COMPILER: LazyLock<GrammarCompiler> = LazyLock::new(|| {
    let byte = |byte: u8| TokenText { bytes: vec![byte], special: false };
    let end = TokenText { bytes: b"<|end|>".to_vec(), special: true };
    let tokens = (0..=255).map(byte).chain([end]);
    Vocabulary::new(tokens, &[256]).and_then(GrammarCompiler::new).expect("a small vocabulary")
});

fuzz_target!(|text: &str| {
    let Ok(mut grammar) = COMPILER.compile(&GrammarSource::Gbnf(text.to_owned())) else { return };
    let mut mask = TokenMask::none(257);
    for _ in 0..8 {
        if grammar.is_complete() || grammar.mask(&mut mask).is_err() {
            return;
        }
        let Some(token) = mask.tokens().next() else { return };
        grammar.accept(token).expect("the mask allows it");
    }
});
