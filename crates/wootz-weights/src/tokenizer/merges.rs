//! Byte pair encoding: neighbours merge, the best pair first, until no pair makes a token.
//!
//! One algorithm for both kinds of vocabularies: GPT's, where a list ranks the pairs, and SentencePiece's, where the
//! score of the token that a pair makes decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ahash::AHashMap;

use super::text_index::TextIndex;
use super::vocabulary::TokenKind;

/// No neighbour, no token.
const NONE: u32 = u32::MAX;

/// Which pair is the best.
#[derive(Debug)]
enum Order {
    /// By pair of ids: its rank (the lowest is best) and the token that it makes.
    Ranks(AHashMap<(u32, u32), (u32, u32)>),
    /// By id: the score of a token (the highest is best).
    Scores(Vec<f32>),
}

/// What BPE vocabularies differ in besides their order.
#[derive(Debug, Clone, Default)]
pub(super) struct MergeOptions {
    /// What stands for a character that has no token.
    pub(super) unknown: Option<u32>,
    /// Neighbouring unknown characters are one token.
    pub(super) fuse_unknown: bool,
    /// A character that has no token is spelt in tokens such as `<0x0A>`.
    pub(super) byte_fallback: bool,
    /// A piece that is a token is that token, whatever the merges say.
    pub(super) whole_first: bool,
    /// What the texts of all tokens begin with that do not begin a piece.
    pub(super) continuing_prefix: String,
    /// What the texts of tokens end with that end a piece.
    pub(super) end_suffix: String,
}

/// A BPE vocabulary.
#[derive(Debug)]
pub(super) struct Merges {
    index: TextIndex,
    /// By id: whether it is text. Merges never make control tokens.
    is_text: Vec<bool>,
    order: Order,
    options: MergeOptions,
    bytes: Box<[Option<u32>; 256]>,
}

/// A token in the text, from `start` to `end` in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spelt {
    pub(super) id: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A stretch of the text that is one symbol so far; of length 0 when it was merged into the one before.
struct Symbol {
    id: u32,
    start: usize,
    length: usize,
    previous: u32,
    next: u32,
}

/// Two neighbours that may merge. Ordered by `key`, the leftmost first among equals.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    key: u32,
    left: Reverse<u32>,
    right: u32,
    /// The token that they make.
    id: u32,
    /// Bytes of both when the pair was found: a merge in between makes it stale.
    length: usize,
}

impl Merges {
    /// A vocabulary with ranked merges, best first, each the texts of its two sides. A merge of tokens that the
    /// vocabulary does not have can never happen, so it is left out.
    pub(super) fn ranked<'a>(
        index: TextIndex,
        kinds: &[TokenKind],
        merges: impl Iterator<Item = (&'a str, &'a str)>,
        options: MergeOptions,
    ) -> Merges {
        let mut ranks = AHashMap::with_capacity(index.len());
        let mut joined = String::new();
        for (rank, (left, right)) in merges.enumerate() {
            let Some(rest) = right.strip_prefix(options.continuing_prefix.as_str()) else { continue };
            joined.clear();
            joined.push_str(left);
            joined.push_str(rest);
            if let (Some(left), Some(right), Some(both)) =
                (index.id(left), index.id(right), index.id(&joined))
            {
                ranks.entry((left, right)).or_insert((rank as u32, both));
            }
        }
        Merges::new(index, kinds, Order::Ranks(ranks), options)
    }

    /// A vocabulary whose tokens have scores, as SentencePiece's have. Scores that are no number never win.
    pub(super) fn scored(
        index: TextIndex,
        kinds: &[TokenKind],
        scores: Vec<f32>,
        options: MergeOptions,
    ) -> Merges {
        Merges::new(index, kinds, Order::Scores(scores), options)
    }

    fn new(index: TextIndex, kinds: &[TokenKind], order: Order, options: MergeOptions) -> Merges {
        let is_text =
            |kind: &TokenKind| matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused);
        let mut bytes = Box::new([None; 256]);
        if options.byte_fallback {
            for byte in 0..=255u8 {
                let id = index.id(&format!("<0x{byte:02X}>"));
                bytes[usize::from(byte)] = id;
            }
        }
        Merges { index, is_text: kinds.iter().map(is_text).collect(), order, options, bytes }
    }

    pub(super) fn index(&self) -> &TextIndex {
        &self.index
    }

    /// The id of a text that is text.
    fn text_token(&self, text: &str) -> Option<u32> {
        self.index.id(text).filter(|id| self.is_text.get(*id as usize) == Some(&true))
    }

    /// The tokens of a piece of text.
    pub(super) fn encode(&self, text: &str) -> Vec<Spelt> {
        if self.options.whole_first
            && let Some(id) = self.text_token(text)
        {
            return vec![Spelt { id, start: 0, end: text.len() }];
        }
        let mut symbols = self.symbols(text);
        let mut pairs = BinaryHeap::with_capacity(symbols.len());
        for right in 1..symbols.len() as u32 {
            pairs.extend(self.pair(text, &symbols, right - 1, right));
        }
        while let Some(Pair { left: Reverse(left), right, id, length, .. }) = pairs.pop() {
            let (first, second) = (&symbols[left as usize], &symbols[right as usize]);
            if first.length == 0 || second.length == 0 || first.length + second.length != length {
                continue;
            }
            let (previous, next) = (first.previous, second.next);
            symbols[right as usize].length = 0;
            let merged = &mut symbols[left as usize];
            (merged.id, merged.length, merged.next) = (id, length, next);
            if next != NONE {
                symbols[next as usize].previous = left;
                pairs.extend(self.pair(text, &symbols, left, next));
            }
            if previous != NONE {
                pairs.extend(self.pair(text, &symbols, previous, left));
            }
        }
        let mut out = Vec::new();
        for symbol in symbols.iter().filter(|symbol| symbol.length > 0) {
            self.spell(text, symbol, &mut out);
        }
        out
    }

    /// One symbol a character. Ranked merges work on characters that have tokens, so bytes stand in at once.
    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        let mut affixed = String::new();
        for (start, letter) in text.char_indices() {
            let length = letter.len_utf8();
            let mut name = &text[start..start + length];
            let (prefix, suffix) = (&self.options.continuing_prefix, &self.options.end_suffix);
            if !prefix.is_empty() || !suffix.is_empty() {
                affixed.clear();
                affixed.push_str(if start > 0 { prefix } else { "" });
                affixed.push(letter);
                affixed.push_str(if start + length == text.len() { suffix } else { "" });
                name = &affixed;
            }
            let id = self.text_token(name).unwrap_or(NONE);
            let bytes = if id == NONE && matches!(self.order, Order::Ranks(_)) {
                self.byte_tokens(&text[start..start + length])
            } else {
                None
            };
            match bytes {
                Some(ids) => {
                    for (offset, id) in ids.enumerate() {
                        push(&mut symbols, id, start + offset, 1);
                    }
                }
                None => push(&mut symbols, id, start, length),
            }
        }
        symbols
    }

    /// The tokens of the bytes of a text, if each has one.
    fn byte_tokens(&self, text: &str) -> Option<impl Iterator<Item = u32>> {
        let ids = text.bytes().map(|byte| self.bytes[usize::from(byte)]).collect::<Option<Vec<u32>>>()?;
        Some(ids.into_iter())
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: u32, right: u32) -> Option<Pair> {
        let (first, second) = (&symbols[left as usize], &symbols[right as usize]);
        let (key, id) = match &self.order {
            Order::Ranks(ranks) => {
                let (rank, id) = ranks.get(&(first.id, second.id))?;
                (u32::MAX - rank, *id)
            }
            Order::Scores(scores) => {
                let id = self.text_token(&text[first.start..second.start + second.length])?;
                let score = *scores.get(id as usize)?;
                (!score.is_nan()).then_some((ascending(score), id))?
            }
        };
        Some(Pair { key, left: Reverse(left), right, id, length: first.length + second.length })
    }

    /// A symbol as a token, as bytes, or as the unknown token; as nothing where the vocabulary has none of them.
    fn spell(&self, text: &str, symbol: &Symbol, out: &mut Vec<Spelt>) {
        let (start, end) = (symbol.start, symbol.start + symbol.length);
        if symbol.id != NONE {
            out.push(Spelt { id: symbol.id, start, end });
        } else if let Some(ids) = self.byte_tokens(&text[start..end]) {
            out.extend(ids.map(|id| Spelt { id, start, end }));
        } else if let Some(id) = self.options.unknown {
            match out.last_mut() {
                Some(last) if self.options.fuse_unknown && last.id == id && last.end == start => {
                    last.end = end
                }
                _ => out.push(Spelt { id, start, end }),
            }
        }
    }
}

fn push(symbols: &mut Vec<Symbol>, id: u32, start: usize, length: usize) {
    let place = symbols.len() as u32;
    let previous = match symbols.last_mut() {
        Some(last) => {
            last.next = place;
            place - 1
        }
        None => NONE,
    };
    symbols.push(Symbol { id, start, length, previous, next: NONE });
}

/// A number that orders as the float does.
fn ascending(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The two sides of a merge written as one string; the first token may begin with a space.
pub(super) fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = first + merge[first..].find(' ')?;
    Some((&merge[..space], &merge[space + 1..]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn index(texts: &[&str]) -> TextIndex {
        TextIndex::new(Arc::new(texts.iter().collect()))
    }

    fn ids(merges: &Merges, text: &str) -> Vec<u32> {
        merges.encode(text).iter().map(|token| token.id).collect()
    }

    #[test]
    fn the_best_score_merges_first_and_bytes_stand_in() {
        let texts = ["<unk>", "<s>", "a", "b", "c", "ab", "bc", "abc", "<0xC3>", "<0xA9>", "s", ">", "<"];
        let scores = vec![0.0, 0.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, 0.0, 0.0, -9.0, -9.0, f32::NAN];
        let kinds = [2, 3, 1, 1, 1, 1, 1, 1, 6, 6, 1, 1, 1].map(TokenKind::from_gguf);
        let options = MergeOptions { unknown: Some(0), byte_fallback: true, ..MergeOptions::default() };
        let merges = Merges::scored(index(&texts), &kinds, scores, options);
        assert_eq!(ids(&merges, "abc"), [7]);
        assert_eq!(ids(&merges, "bcab"), [6, 5]);
        assert_eq!(ids(&merges, "abab"), [5, 5]);
        assert_eq!(ids(&merges, "é日"), [8, 9, 0]);
        assert_eq!(ids(&merges, "<s>"), [12, 10, 11], "control tokens are no text");
        assert!(ids(&merges, "").is_empty());
    }

    #[test]
    fn the_lowest_rank_merges_first() {
        let texts = ["a", "b", "c", "ab", "bc", "abc", "?"];
        let pairs = [("b", "c"), ("a", "b"), ("a", "bc"), ("no", "such")];
        let make = |options: MergeOptions| {
            Merges::ranked(index(&texts), &[TokenKind::Normal; 7], pairs.into_iter(), options)
        };
        let plain = make(MergeOptions::default());
        assert_eq!(ids(&plain, "abc"), [5]);
        assert_eq!(ids(&plain, "abab"), [3, 3]);
        assert_eq!(ids(&plain, "aba日c"), [3, 0, 2], "what has no token is left out");
        let unknown = MergeOptions { unknown: Some(6), ..MergeOptions::default() };
        assert_eq!(ids(&make(unknown.clone()), "a日日"), [0, 6, 6]);
        assert_eq!(ids(&make(MergeOptions { fuse_unknown: true, ..unknown }), "a日日b"), [0, 6, 1]);
    }

    #[test]
    fn affixes_mark_where_words_end() {
        let texts = ["l", "o", "w</w>", "lo", "low</w>", "##x", "l##x"];
        let pairs = [("l", "o"), ("lo", "w</w>")];
        let options = MergeOptions { end_suffix: "</w>".to_owned(), ..MergeOptions::default() };
        let merges = Merges::ranked(index(&texts), &[TokenKind::Normal; 7], pairs.into_iter(), options);
        assert_eq!(ids(&merges, "low"), [4]);
        assert_eq!(ids(&merges, "ll"), [0]);
    }

    #[test]
    fn scores_order_as_numbers() {
        let mut sorted = [3.5f32, -1.0, 0.0, -1e9, 1e9, f32::NEG_INFINITY];
        sorted.sort_by_key(|score| ascending(*score));
        assert!(sorted.is_sorted());
        assert_eq!(split_merge(" a b c"), Some((" a", "b c")));
        assert_eq!((split_merge("ab"), split_merge("")), (None, None));
    }
}
