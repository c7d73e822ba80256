//! One answer: a request's tokens and log probabilities are the same to the last bit, whoever else is there, however its
//! prompt is cut, wherever its pages come from.

mod cpu;

use std::num::NonZeroUsize;

use cpu::{Answer, PLENTY, Room, alone, ask, ask_together, engine, request};
use proptest::prelude::*;
use wootz_engine::{Engine, Request, SamplingSettings};

/// Sequences that fit into the smallest pool of these tests, one at a time.
const TIGHT: Room = Room { pages: 14, rows: 64 };

/// Checks that an engine answers requests that are all there at once as it would each alone.
fn same_together(engine: &Engine, requests: &[Request], expected: &[Vec<Answer>]) -> usize {
    let found = ask_together(engine, requests);
    for (which, ((found, _), expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "request {which}: {:?}", requests[which]);
    }
    found.iter().map(|(_, usage)| usage.reused).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// In a batch of 32, in steps of few rows or many, in a pool that holds them all or hardly one, after others with the
    /// same beginnings.
    #[test]
    fn nothing_around_a_request_changes_its_answer(
        requests in prop::collection::vec(request(1..2), 32),
        rows in 16_usize..80,
    ) {
        let expected = alone(&requests);
        same_together(&engine(PLENTY), &requests, &expected);
        let chunked = engine(Room { rows, ..PLENTY });
        same_together(&chunked, &requests, &expected);
        let reused = same_together(&chunked, &requests, &expected);
        prop_assert!(reused > 0, "no prefix was reused");
        same_together(&engine(TIGHT), &requests, &expected);
    }
}

/// One after another in the same engine: each prompt is a prefix of an earlier one, or goes on from it.
#[test]
fn a_prefix_hit_changes_nothing() {
    let shared = engine(PLENTY);
    let mut reused = 0;
    for (length, max_tokens) in [(90, 30), (90, 5), (64, 9), (48, 40), (120, 3), (119, 3), (17, 2)] {
        let request = Request {
            sampling: SamplingSettings { seed: 5, ..SamplingSettings::plain(0.9) },
            max_tokens: NonZeroUsize::new(max_tokens),
            ..Request::new(cpu::prompt(1, length, 0, 0), Vec::new())
        };
        let (found, usage) = ask(&shared, &request);
        assert_eq!(found, alone(std::slice::from_ref(&request))[0], "{length}");
        reused += usage.reused;
    }
    assert!(reused > 200, "{reused}");
}
