//! One answer: a request's tokens and log probabilities are the same to the last bit, whoever else is there, however its
//! prompt is cut, wherever its pages come from.

mod cpu;

use std::num::NonZeroUsize;

use cpu::{Answer, PLENTY, Room, alone, ask, ask_together, engine, engine_over, fingerprint, model, request};
use proptest::prelude::*;
use wootz_engine::{Answers, DiskSettings, Engine, EngineSettings, Request, SamplingSettings};

/// The longest of these tests' requests fit into it, one at a time.
const TIGHT: Room = Room { pages: 20, rows: 64 };

/// With room on disk for all blocks.
fn on_disk(room: Room, folder: &std::path::Path) -> Engine {
    let disk = DiskSettings { folder: folder.to_owned(), bytes: 1 << 30, model: fingerprint() };
    engine_over(Box::new(model(room)), EngineSettings { disk: Some(disk), ..EngineSettings::default() })
}

/// Waits until an engine that has answered everything has closed its books.
fn settled(engine: &Engine) {
    while !engine.is_idle() || engine.metrics().pages.held > 0 {
        std::thread::yield_now();
    }
}

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
        requests in prop::collection::vec(request(1..4), 32),
        rows in 16_usize..80,
    ) {
        let expected = alone(&requests);
        same_together(&engine(PLENTY), &requests, &expected);
        let chunked = engine(Room { rows, ..PLENTY });
        same_together(&chunked, &requests, &expected);
        let reused = same_together(&chunked, &requests, &expected);
        prop_assert!(reused > 0, "no prefix was reused");
        settled(&chunked);
    }

    /// In a pool that hardly holds one request, so that they take pages from each other and start again.
    #[test]
    fn preemption_changes_nothing(requests in prop::collection::vec(request(1..4), 32)) {
        let expected = alone(&requests);
        let tight = engine(TIGHT);
        same_together(&tight, &requests, &expected);
        settled(&tight);
    }

    /// In an engine that was started anew on the same folder, with a pool that is too small for all of them.
    #[test]
    fn a_restart_changes_nothing(requests in prop::collection::vec(request(1..3), 32), rows in 16_usize..80) {
        let expected = alone(&requests);
        let folder = tempfile::tempdir().unwrap();
        same_together(&on_disk(PLENTY, folder.path()), &requests, &expected);
        for room in [Room { rows, ..PLENTY }, TIGHT] {
            let restarted = on_disk(room, folder.path());
            same_together(&restarted, &requests, &expected);
            settled(&restarted);
            let tokens = restarted.metrics().tokens;
            prop_assert!(tokens.prompt_reused_from_disk > 0, "nothing came from the disk: {tokens:?}");
        }
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

/// Several answers to a prompt are those of as many requests, each with the next seed.
#[test]
fn each_of_several_answers_is_that_of_its_own_seed() {
    let shared = engine(Room { pages: 64, rows: 40 });
    for (length, count) in [(1, 2), (16, 3), (31, 4), (90, 7), (120, 16)] {
        let request = Request {
            sampling: SamplingSettings { seed: u64::MAX - 1, ..SamplingSettings::plain(1.0) },
            max_tokens: NonZeroUsize::new(25),
            answers: Answers::Sampled(NonZeroUsize::new(count).unwrap()),
            ..Request::new(cpu::prompt(2, length, 0, 0), (0..40).collect())
        };
        let own = |answer: u64| {
            let seed = request.sampling.seed.wrapping_add(answer);
            let sampling = SamplingSettings { seed, ..request.sampling.clone() };
            Request { sampling, answers: Answers::default(), ..request.clone() }
        };
        let separate: Vec<Request> = (0..count as u64).map(own).collect();
        let expected: Vec<Answer> = alone(&separate).concat();
        assert_eq!(ask(&shared, &request).0, expected, "{count} answers to {length} tokens");
    }
    settled(&shared);
}

/// Eight answers that begin in one page each and grow to five, where there are fourteen.
#[test]
fn answers_that_outgrow_the_pool_take_turns() {
    let long = |seed: usize| Request {
        sampling: SamplingSettings { seed: seed as u64, ..SamplingSettings::plain(1.0) },
        max_tokens: NonZeroUsize::new(64),
        ..Request::new(cpu::prompt(0, 0, 20 + seed, 15), Vec::new())
    };
    let requests: Vec<Request> = (0..8).map(long).collect();
    let small = engine(Room { pages: 14, rows: 64 });
    same_together(&small, &requests, &alone(&requests));
    settled(&small);
    assert!(small.metrics().preemptions > 0, "nobody gave pages up");
}
