//! Hostile text: whatever is lowered, the answer is a result.

use proptest::prelude::*;

use super::tokens::Tokens;
use super::{Target, lower_preprocessed};

const KERNELS: [&str; 5] = [
    include_str!("../../tests/kernels/norm.metal"),
    include_str!("../../tests/kernels/rope.metal"),
    include_str!("../../tests/kernels/gemv.metal"),
    include_str!("../../tests/kernels/gemm.metal"),
    include_str!("../../tests/kernels/attention.metal"),
];

/// Pieces that the passes look for, in an order that nobody writes.
const PIECES: [&str; 54] = [
    "kernel",
    "template",
    "[[",
    "]]",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "<",
    ">",
    ";",
    ",",
    "=",
    "::",
    "*",
    "&",
    "->",
    ".",
    "threadgroup",
    "constant",
    "device",
    "thread",
    "const",
    "static",
    "float",
    "T",
    "x",
    "xyzw",
    "decltype",
    "struct",
    "host_name",
    "buffer",
    "function_constant",
    "is_function_constant_defined",
    "metal",
    "\"a\"",
    "\"",
    "'",
    "0",
    "1.0",
    "1e",
    "0x",
    "2.5bf",
    "# 3 \"f.h\"\n",
    "#line 4294967295 \"g.h\"\n",
    "\n",
    "alignas",
    "operator",
    "using",
    "max_total_threads_per_threadgroup",
    "é",
    "\\",
];

/// Lowers and lints; there is nothing to assert but that both come back.
fn take(text: &str) {
    let _ = lower_preprocessed(text, "hostile.metal", Target::Emulator);
    let _ = crate::lint::lint_preprocessed(text, "hostile.metal");
}

proptest! {
    #[test]
    fn soups_of_tokens_are_answered(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..80)) {
        take(&pieces.join(" "));
        take(&pieces.concat());
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        take(&text);
    }

    #[test]
    fn damaged_kernels_are_answered(
        kernel in prop::sample::select(&KERNELS[..]),
        from in any::<prop::sample::Index>(),
        length in 0_usize..40,
        piece in prop::sample::select(&PIECES[..]),
    ) {
        let mut letters: Vec<char> = kernel.chars().collect();
        let from = from.index(letters.len());
        let to = (from + length).min(letters.len());
        letters.splice(from..to, piece.chars());
        take(&letters.into_iter().collect::<String>());
    }

    #[test]
    fn tokens_are_the_text(text in "[a-z0-9 (){};.<>=+\n\"]{0,60}") {
        if let Ok(tokens) = Tokens::read(&text, "a.metal") {
            prop_assert_eq!(tokens.to_string(), text);
        }
    }
}

/// What a damaged text led to once.
#[test]
fn lists_that_close_before_they_open_are_answered() {
    for text in [
        "template > x;",
        "template",
        "template ;",
        "struct S { template > x; };",
        "threadgroup > x;",
        "template <> <;",
    ] {
        take(text);
    }
}

#[test]
fn deep_nesting_is_answered() {
    for piece in ["(", "<", "[[", "{ threadgroup float x", "a < ", "template <", "constant T x = f("] {
        take(&piece.repeat(20_000));
    }
    take(&("(".repeat(50_000) + &")".repeat(50_000)));
    take(&("kernel void k(".to_owned() + &"device float* a [[buffer(0)]],".repeat(5_000) + ") {}"));
}
