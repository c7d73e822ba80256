//! What the tests share: vocabularies, and walks through grammars.
#![allow(dead_code)]

use wootz_grammar::{
    Grammar, GrammarCompiler, GrammarError, GrammarSource, TokenMask, TokenText, Vocabulary,
};

/// The id of the token that ends answers in [`bytes`].
pub const END: u32 = 256;
/// A mark in [`bytes`].
pub const THINK: u32 = 257;

/// A vocabulary of all bytes, an end, a mark, words of several bytes, and two ids that stand for nothing.
pub fn bytes() -> GrammarCompiler {
    let byte = |byte: u8| TokenText { bytes: vec![byte], special: false };
    let word = |word: &str| TokenText { bytes: word.as_bytes().to_vec(), special: false };
    let mark = |name: &str| TokenText { bytes: name.as_bytes().to_vec(), special: true };
    let words =
        ["{\"", "\": ", "\"}", "true", "12", ", \"", "ab", "abc", " \n", "é", "name", "日本", "\"]", "1."];
    let tokens = (0..=255)
        .map(byte)
        .chain([mark("<|end|>"), mark("<think>")])
        .chain(words.iter().map(|text| word(text)))
        .chain([word(""), word("")]);
    GrammarCompiler::new(Vocabulary::new(tokens, &[END]).unwrap()).unwrap()
}

/// Whether a grammar takes a text, byte by byte, and may end after it. Checks that the mask and the parser agree.
pub fn takes(compiler: &GrammarCompiler, source: &GrammarSource, text: &str) -> bool {
    let mut grammar = compiler.compile(source).unwrap_or_else(|error| panic!("{source:?}: {error}"));
    follow(compiler, &mut grammar, text)
}

/// As [`takes`], from where a grammar stands.
pub fn follow(compiler: &GrammarCompiler, grammar: &mut Grammar, text: &str) -> bool {
    let mut mask = TokenMask::none(compiler.vocabulary().len());
    for byte in text.bytes() {
        grammar.mask(&mut mask).unwrap();
        let allowed = mask.allows(u32::from(byte));
        match grammar.accept(u32::from(byte)) {
            Ok(()) => assert!(allowed, "taken, but not in the mask: {byte} of {text}"),
            Err(GrammarError::Refused { .. }) => {
                assert!(!allowed, "refused, but in the mask: {byte} of {text}");
                return false;
            }
            Err(error) => panic!("{error}"),
        }
    }
    grammar.mask(&mut mask).unwrap();
    let ends = mask.allows(END);
    assert_eq!(ends, grammar.is_complete() || grammar.may_end().unwrap());
    ends
}

/// Numbers that look random and are always the same.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// How a walk ended.
pub enum Walk {
    /// At an end that the grammar allows, with this text.
    Ended(Vec<u8>),
    /// After as many tokens as were asked for.
    Cut(Vec<u8>),
}

/// Follows the mask at random, for at most so many tokens, and ends as soon as that is allowed.
pub fn walk(compiler: &GrammarCompiler, mut grammar: Grammar, random: &mut Random, tokens: usize) -> Walk {
    let vocabulary = compiler.vocabulary();
    let mut mask = TokenMask::none(vocabulary.len());
    let mut text = Vec::new();
    for step in 0..tokens {
        if grammar.is_complete() {
            return Walk::Ended(text);
        }
        grammar.mask(&mut mask).unwrap();
        if vocabulary.ends().iter().any(|end| mask.allows(*end))
            && (step > tokens / 2 || random.below(4) == 0)
        {
            return Walk::Ended(text);
        }
        let choices: Vec<u32> = mask.tokens().filter(|token| !vocabulary.ends().contains(token)).collect();
        if choices.is_empty() {
            assert!(vocabulary.ends().iter().any(|end| mask.allows(*end)));
            return Walk::Ended(text);
        }
        // Walks with many long tokens never close what they open: take the shortest of a few.
        let draws: Vec<u32> = (0..3).map(|_| choices[random.below(choices.len())]).collect();
        let token =
            *draws.iter().min_by_key(|token| vocabulary.text(**token).map_or(0, <[u8]>::len)).unwrap();
        grammar.accept(token).unwrap_or_else(|error| panic!("the mask allowed {token}: {error}"));
        text.extend(vocabulary.text(token).unwrap_or_default());
    }
    if grammar.is_complete() { Walk::Ended(text) } else { Walk::Cut(text) }
}
