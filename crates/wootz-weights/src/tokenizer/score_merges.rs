//! SentencePiece's BPE: merges follow from the scores of the tokens that they make.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ahash::AHashMap;

use super::vocabulary::{TokenKind, byte_of};

/// A vocabulary whose tokens have scores: the pair that makes the token of the highest score merges first, the
/// leftmost first among equals. A character without a token is spelt in bytes.
#[derive(Debug)]
pub(super) struct ScoreMerges {
    ids: AHashMap<String, u32>,
    /// By id; minus infinity for what no merge may make.
    scores: Vec<f32>,
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
}

/// A token in the text.
pub(super) struct Spelt {
    pub(super) id: u32,
    /// Where it begins in the text, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
}

/// A stretch of the text that is one symbol so far; empty when it was merged into the one before.
struct Symbol {
    start: usize,
    length: usize,
    previous: usize,
    next: usize,
}

/// No neighbour.
const NONE: usize = usize::MAX;

/// Two neighbours that may merge.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both when the pair was found: merges in between make it stale.
    length: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl ScoreMerges {
    /// Texts, scores and kinds by id. Control tokens are no text, so no merge makes them.
    pub(super) fn new<'a>(
        texts: impl ExactSizeIterator<Item = &'a str>,
        scores: &[f32],
        kinds: &[TokenKind],
        unknown: Option<u32>,
    ) -> ScoreMerges {
        let mut ids = AHashMap::with_capacity(texts.len());
        let mut bytes = Box::new([None; 256]);
        let mut usable = Vec::with_capacity(texts.len());
        for (id, text) in texts.enumerate() {
            let kind = kinds.get(id).copied().unwrap_or(TokenKind::Normal);
            if kind == TokenKind::Byte
                && let Some(byte) = byte_of(text)
            {
                bytes[usize::from(byte)] = Some(id as u32);
            }
            let text_token = matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused);
            let score = scores.get(id).copied().filter(|score| text_token && !score.is_nan());
            usable.push(score.unwrap_or(f32::NEG_INFINITY));
            ids.insert(text.to_owned(), id as u32);
        }
        ScoreMerges { ids, scores: usable, bytes, unknown }
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    /// The id and score of a text that a merge may make.
    fn token(&self, text: &str) -> Option<(u32, f32)> {
        let id = self.id(text)?;
        let score = self.scores[id as usize];
        (score > f32::NEG_INFINITY).then_some((id, score))
    }

    /// The tokens of a text in which spaces are escaped already.
    pub(super) fn encode(&self, text: &str) -> Vec<Spelt> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, letter))| Symbol {
                start,
                length: letter.len_utf8(),
                previous: index.wrapping_sub(1),
                next: index + 1,
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        let mut pairs = BinaryHeap::with_capacity(symbols.len());
        for right in 1..symbols.len() {
            pairs.extend(self.pair(text, &symbols, right - 1, right));
        }
        while let Some(Pair { left, right, length, .. }) = pairs.pop() {
            let (left_length, right_length) = (symbols[left].length, symbols[right].length);
            if left_length == 0 || right_length == 0 || left_length + right_length != length {
                continue;
            }
            let (previous, next) = (symbols[left].previous, symbols[right].next);
            symbols[left].length = length;
            symbols[left].next = next;
            symbols[right].length = 0;
            if next != NONE {
                symbols[next].previous = left;
                pairs.extend(self.pair(text, &symbols, left, next));
            }
            if previous != NONE {
                pairs.extend(self.pair(text, &symbols, previous, left));
            }
        }
        let mut out = Vec::new();
        for symbol in symbols.iter().filter(|symbol| symbol.length > 0) {
            self.spell(text, symbol.start, symbol.start + symbol.length, &mut out);
        }
        out
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let (start, end) = (symbols[left].start, symbols[right].start + symbols[right].length);
        let (_, score) = self.token(&text[start..end])?;
        Some(Pair { score, left, right, length: end - start })
    }

    /// A symbol as one token, or in bytes; a byte without a token becomes the unknown token, or nothing.
    fn spell(&self, text: &str, start: usize, end: usize, out: &mut Vec<Spelt>) {
        if let Some((id, _)) = self.token(&text[start..end]) {
            out.push(Spelt { id, start, end });
            return;
        }
        let bytes = text[start..end].bytes().map(|byte| self.bytes[usize::from(byte)]);
        if bytes.clone().any(|id| id.is_none()) {
            out.extend(self.unknown.map(|id| Spelt { id, start, end }));
        } else {
            out.extend(bytes.flatten().map(|id| Spelt { id, start, end }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_score_merges_first_and_bytes_stand_in() {
        let texts = ["<unk>", "<s>", "a", "b", "c", "ab", "bc", "abc", "<0xC3>", "<0xA9>", "s", ">", "<"];
        let scores = [0.0, 0.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, 0.0, 0.0, -9.0, -9.0, -9.0];
        let kinds: Vec<TokenKind> =
            [2, 3, 1, 1, 1, 1, 1, 1, 6, 6, 1, 1, 1].map(TokenKind::from_gguf).to_vec();
        let merges = ScoreMerges::new(texts.iter().copied(), &scores, &kinds, Some(0));
        let ids = |text: &str| merges.encode(text).iter().map(|token| token.id).collect::<Vec<_>>();
        assert_eq!(ids("abc"), [7]);
        assert_eq!(ids("bcab"), [6, 5]);
        assert_eq!(ids("abab"), [5, 5]);
        assert_eq!(ids("é"), [8, 9]);
        assert_eq!(ids("日"), [0]);
        assert_eq!(ids("<s>"), [12, 10, 11]);
        assert_eq!(ids(""), []);
    }
}
