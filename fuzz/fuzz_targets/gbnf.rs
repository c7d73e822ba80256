//! A GBNF grammar of any text: parsed, compiled, and followed for a few tokens.
//!
//! `cargo +nightly fuzz run gbnf`
#![no_main]

mod grammar;

use libfuzzer_sys::fuzz_target;
use wootz_grammar::GrammarSource;

fuzz_target!(|text: &str| grammar::follow(&GrammarSource::Gbnf(text.to_owned())));
