//! Texts of a given number of tokens, made of common words, the same whenever the same key asks.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Short, common words: most vocabularies have a token for each.
const WORDS: [&str; 64] = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school",
    "state", "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week",
    "company", "system", "program", "question", "work", "number", "night", "point", "home", "water", "room",
    "mother", "area", "money", "story", "fact", "month", "lot", "right", "study", "book", "eye", "job",
    "word", "business", "issue", "side", "kind", "head", "house", "service", "friend", "father", "power",
    "hour", "game", "line", "end", "member", "law", "car",
];

/// What a text is made from: equal keys give equal texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u64; 4]);

impl Key {
    /// A source of random numbers of its own.
    pub fn random(self) -> ChaCha8Rng {
        let mut seed = [0; 32];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// Its first words, each with a space before it.
    pub fn words(self, count: usize) -> String {
        let mut random = self.random();
        let mut text = String::with_capacity(count * 7);
        for _ in 0..count {
            text.push(' ');
            text.push_str(WORDS[random.next_u32() as usize % WORDS.len()]);
        }
        text
    }
}

/// Counts the tokens of a text.
pub type CountTokens = Box<dyn Fn(&str) -> usize>;

/// How many words make so many tokens.
pub enum Meter {
    /// A tokenizer counts them.
    Tokenizer(CountTokens),
    /// A server counted two texts of different lengths.
    Server {
        /// Tokens that it adds to every prompt.
        fixed: f64,
        /// Tokens for each word.
        per_word: f64,
    },
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Meter::Tokenizer(_) => f.write_str("Tokenizer"),
            Meter::Server { fixed, per_word } => write!(f, "Server {{ {fixed} + {per_word} a word }}"),
        }
    }
}

/// A piece of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// What it is made from.
    pub key: Key,
    /// Its length.
    pub tokens: usize,
}

impl Meter {
    /// From the tokens that a server counted in prompts of so many words, two different numbers of them.
    pub fn from_counts(short: (usize, u64), long: (usize, u64)) -> Self {
        let words = long.0 as f64 - short.0 as f64;
        let per_word = ((long.1 as f64 - short.1 as f64) / words).max(0.1);
        Meter::Server { fixed: (short.1 as f64 - per_word * short.0 as f64).max(0.0), per_word }
    }

    /// A prompt made of passages. The last one makes room for the tokens that the server adds, so that the others stay
    /// what they are in other prompts.
    pub fn prompt(&self, passages: &[Passage]) -> String {
        let mut text = String::new();
        for (index, passage) in passages.iter().enumerate() {
            let last = index + 1 == passages.len();
            text.push_str(&passage.key.words(self.words_of(*passage, last)));
        }
        text.trim_start().to_string()
    }

    fn words_of(&self, passage: Passage, last: bool) -> usize {
        match self {
            Meter::Server { fixed, per_word } => {
                let tokens = passage.tokens as f64 - if last { *fixed } else { 0.0 };
                (tokens / per_word).round().max(1.0) as usize
            }
            Meter::Tokenizer(count) => {
                // The most words that have no more tokens than asked: a word has at least one, and at least one word.
                let (mut fits, mut over) = (1, passage.tokens + 1);
                while fits + 1 < over {
                    let middle = fits.midpoint(over);
                    let tokens = count(&passage.key.words(middle));
                    *(if tokens <= passage.tokens { &mut fits } else { &mut over }) = middle;
                }
                fits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(key: u64, tokens: usize) -> Passage {
        Passage { key: Key([7, 0, 0, key]), tokens }
    }

    #[test]
    fn a_text_has_the_tokens_asked_for() {
        // Words of two tokens, as some tokenizers would have it.
        let meter = Meter::Tokenizer(Box::new(|text| 2 * text.split_whitespace().count()));
        assert_eq!(meter.prompt(&[passage(1, 100)]).split(' ').count(), 50);
        assert_eq!(meter.prompt(&[passage(1, 1)]).split(' ').count(), 1);
        // A server that adds five tokens and has 1.5 for each word.
        let meter = Meter::from_counts((32, 53), (160, 245));
        assert_eq!(meter.prompt(&[passage(1, 305)]).split(' ').count(), 200);
    }

    #[test]
    fn a_passage_is_the_same_in_every_prompt() {
        let meter = Meter::Server { fixed: 4.0, per_word: 1.0 };
        let one = meter.prompt(&[passage(1, 20), passage(2, 30)]);
        let other = meter.prompt(&[passage(1, 20), passage(3, 40)]);
        let shared = passage(1, 20).key.words(20);
        assert!(one.starts_with(shared.trim_start()) && other.starts_with(shared.trim_start()));
        assert_ne!(one[shared.len()..], other[shared.len()..]);
        assert_eq!(one.split(' ').count() + 4, 50);
    }
}
