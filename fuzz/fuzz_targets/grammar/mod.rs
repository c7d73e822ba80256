//! What the targets of grammars share: a small vocabulary, and a walk.

use std::sync::LazyLock;

use wootz_grammar::{GrammarCompiler, GrammarSource, TokenMask, TokenText, Vocabulary};

/// All bytes, and an end.
static COMPILER: LazyLock<GrammarCompiler> = LazyLock::new(|| {
    let byte = |byte: u8| TokenText { bytes: vec![byte], special: false };
    let end = TokenText { bytes: b"<|end|>".to_vec(), special: true };
    let tokens = (0..=255).map(byte).chain([end]);
    Vocabulary::new(tokens, &[256]).and_then(GrammarCompiler::new).expect("a small vocabulary")
});

/// Compiles a source, and follows it for a few tokens if that is possible.
pub fn follow(source: &GrammarSource) {
    let Ok(mut grammar) = COMPILER.compile(source) else { return };
    let mut mask = TokenMask::none(257);
    for _ in 0..8 {
        if grammar.is_complete() || grammar.mask(&mut mask).is_err() {
            return;
        }
        let Some(token) = mask.tokens().next() else { return };
        grammar.accept(token).expect("the mask allows it");
    }
}
