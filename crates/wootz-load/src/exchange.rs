//! One request and its answer, however they travel; and how many tokens each piece of an answer had.

use std::time::Duration;

use tokio::time::Instant;

use crate::plan::{PlannedRequest, Turn};
use crate::record::{Arrival, ErrorKind, Usage};

/// Something that answers requests.
pub trait Exchange {
    /// Sends a request and writes down what comes back, as it comes: what was heard stays if this is dropped midway.
    /// `before` are the turns of the conversation that were answered; `progress` is called after each piece.
    fn exchange(
        &self,
        request: &PlannedRequest,
        before: &[Turn],
        heard: &mut Heard,
        progress: &dyn Fn(),
    ) -> impl Future<Output = Result<(), ExchangeError>>;
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct ExchangeError {
    /// In what way.
    pub kind: ErrorKind,
    /// What was said about it.
    pub message: String,
}

impl ExchangeError {
    /// An error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What was heard of an answer so far.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Pieces with text, or with more tokens than before.
    pub pieces: Vec<HeardPiece>,
    /// The answer's text, without reasoning.
    pub text: String,
    /// What the server counted.
    pub usage: Usage,
}

/// A piece of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeardPiece {
    /// When it came.
    pub at: Instant,
    /// Bytes of its text.
    pub text_bytes: usize,
    /// The server's count of the answer's tokens up to here, where it gives one.
    pub so_far: Option<u64>,
}

impl Heard {
    /// The pieces as times since `start` with the tokens in each; `limit` is what the request allowed.
    ///
    /// Tokens are what the server said piece by piece. Where it only gave a total at the end, each piece is a token if
    /// the counts agree, and otherwise the total is shared out by the length of the texts. Without any count, a piece is
    /// a token.
    pub fn arrivals(&self, start: Instant, limit: u32) -> Vec<Arrival> {
        // A server's counts are not believed beyond what it was asked for: memory is set aside by them.
        let most = u64::from(limit).max(self.pieces.len() as u64);
        let since = |at: Instant| at.saturating_duration_since(start);
        let tokens = match self.usage.output.map(|total| total.min(most)) {
            _ if self.is_counted() => self.counted(most),
            Some(total) => self.shared(total),
            None => vec![1; self.pieces.len()],
        };
        merged(self.pieces.iter().zip(tokens).map(|(piece, tokens)| Arrival { at: since(piece.at), tokens }))
    }

    fn is_counted(&self) -> bool {
        !self.pieces.is_empty() && self.pieces.iter().all(|piece| piece.so_far.is_some())
    }

    /// From running counts.
    fn counted(&self, most: u64) -> Vec<u32> {
        let mut before = 0;
        let counts = self.pieces.iter().map(|piece| piece.so_far.unwrap_or(0).min(most));
        let new = counts.map(|so_far| {
            let new = so_far.saturating_sub(before);
            before = before.max(so_far);
            u32::try_from(new).unwrap_or(u32::MAX)
        });
        new.collect()
    }

    /// From a total. One more than there are pieces is an end token, which has no text.
    fn shared(&self, total: u64) -> Vec<u32> {
        let pieces = self.pieces.len() as u64;
        if total == pieces || total == pieces + 1 {
            return vec![1; self.pieces.len()];
        }
        let bytes: u64 = self.pieces.iter().map(|piece| piece.text_bytes as u64).sum();
        let (mut passed, mut given) = (0_u64, 0_u64);
        let shares = self.pieces.iter().enumerate().map(|(index, piece)| {
            passed += piece.text_bytes as u64;
            // Rounded up, so that the first piece has a token; all of them are given out at the end.
            let due = match bytes {
                0 => (index as u64 + 1) * total / pieces,
                _ => (u128::from(passed) * u128::from(total)).div_ceil(u128::from(bytes)) as u64,
            };
            let new = due - given;
            given = due;
            u32::try_from(new).unwrap_or(u32::MAX)
        });
        shares.collect()
    }
}

/// Pieces that one read of the network brought share one moment: they are one arrival.
fn merged(arrivals: impl Iterator<Item = Arrival>) -> Vec<Arrival> {
    let mut all: Vec<Arrival> = Vec::new();
    for arrival in arrivals {
        match all.last_mut() {
            Some(last) if last.at == arrival.at => last.tokens = last.tokens.saturating_add(arrival.tokens),
            _ => all.push(arrival),
        }
    }
    all
}

/// The time between two moments, as a record has it.
pub fn since(start: Instant, moment: Instant) -> Duration {
    moment.saturating_duration_since(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(pieces: &[(u64, usize, Option<u64>)], output: Option<u64>) -> (Heard, Instant) {
        let start = Instant::now();
        let piece = |&(at, text_bytes, so_far): &(u64, usize, Option<u64>)| HeardPiece {
            at: start + Duration::from_millis(at),
            text_bytes,
            so_far,
        };
        let pieces = pieces.iter().map(piece).collect();
        (Heard { pieces, usage: Usage { output, ..Default::default() }, ..Default::default() }, start)
    }

    fn tokens(pieces: &[(u64, usize, Option<u64>)], output: Option<u64>) -> Vec<u32> {
        let (heard, start) = heard(pieces, output);
        heard.arrivals(start, 100).iter().map(|arrival| arrival.tokens).collect()
    }

    #[test]
    fn several_tokens_in_a_piece_are_counted() {
        // Running counts decide: a burst of three, then a piece that held a half character back.
        assert_eq!(tokens(&[(1, 4, Some(1)), (2, 9, Some(4)), (3, 1, Some(6))], Some(6)), [1, 3, 2]);
        // As many pieces as tokens, or one less: the end token shows nothing.
        assert_eq!(tokens(&[(1, 9, None), (2, 1, None)], Some(2)), [1, 1]);
        assert_eq!(tokens(&[(1, 9, None), (2, 1, None)], Some(3)), [1, 1]);
        // Only a total: by length.
        assert_eq!(tokens(&[(1, 3, None), (2, 9, None), (3, 3, None)], Some(10)), [2, 6, 2]);
        // Nothing but pieces.
        assert_eq!(tokens(&[(1, 3, None), (2, 9, None)], None), [1, 1]);
        // What one read brought is one arrival.
        assert_eq!(tokens(&[(1, 3, None), (1, 3, None), (2, 3, None)], Some(3)), [2, 1]);
    }

    proptest! {
        #[test]
        fn no_token_is_lost(bytes in prop::collection::vec(0_usize..50, 1..40), total in 0_u64..90) {
            let pieces: Vec<_> = bytes.iter().enumerate().map(|(at, &bytes)| (at as u64, bytes, None)).collect();
            let given: u64 = tokens(&pieces, Some(total)).iter().map(|&tokens| u64::from(tokens)).sum();
            let pieces = bytes.len() as u64;
            prop_assert_eq!(given, if total == pieces + 1 { pieces } else { total });
        }

        #[test]
        fn counts_beyond_what_was_asked_for_are_cut(so_far in prop::collection::vec(any::<u64>(), 1..9)) {
            let pieces: Vec<_> = so_far.iter().enumerate().map(|(at, &n)| (at as u64, 1, Some(n))).collect();
            let given: u64 = tokens(&pieces, Some(u64::MAX)).iter().map(|&tokens| u64::from(tokens)).sum();
            prop_assert!(given <= 100);
        }
    }
}
