//! The engine over one device, over several, and over one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wootz_engine::{Engine, EngineError, EventKind, Logprobs, Request, Sampled, SamplingSettings};
use wootz_gpu::select::Answers;

use super::answers::{answers, request, requests, settings, steps_need_no_wait};
use super::fixture::{Expected, fixtures, load};
use super::in_order;
use super::parallel::{parallel, ranks};
use super::wrapped::Wrapped;

#[test]
fn steps_without_a_wait_give_the_answers_of_steps_with_one() {
    steps_need_no_wait(&fixtures().join("models/qwen3"), &in_order);
}

/// Each rank draws for itself, and they go on with the same tokens: a step would fail where they did not.
#[test]
fn two_ranks_give_the_answers_of_one_device() {
    let folder = fixtures().join("models/qwen2");
    let requests = requests(&Expected::read(&folder).prompt);
    let one = load(&folder, Box::new(Wrapped::new(Arc::default())), Answers::Reproducible);
    let expected = answers(Box::new(one), &requests);
    let found = answers(Box::new(parallel(&folder, ranks(2), Answers::Reproducible)), &requests);
    for (which, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        let ids = |answer: Result<Vec<Sampled>, EngineError>| -> Vec<u32> {
            answer.unwrap().iter().map(|sampled| sampled.token).collect()
        };
        assert_eq!(ids(found), ids(expected), "request {which}");
    }
}

#[test]
fn a_fault_fails_the_requests_of_its_step_and_the_engine_goes_on() {
    let folder = fixtures().join("models/llama");
    let prompt = Expected::read(&folder).prompt;
    let greedy = [request(&prompt, SamplingSettings::greedy(), Logprobs::None)];
    let fail = Arc::new(AtomicBool::new(false));
    let model = load(&folder, Box::new(Wrapped::new(fail.clone())), Answers::Reproducible);
    let engine = Engine::start(Box::new(model), settings()).unwrap();
    let last = |request: &Request| {
        let stream = engine.submit(request.clone()).unwrap();
        let mut tokens = Vec::new();
        loop {
            match stream.next_event().unwrap().expect("a last event").kind {
                EventKind::Prompted { .. } | EventKind::PromptLogprobs(_) => {}
                EventKind::Token(token) => tokens.push(token.token),
                end => return (tokens, end),
            }
        }
    };
    let (expected, _) = last(&greedy[0]);
    fail.store(true, Ordering::Relaxed);
    let (_, end) = last(&greedy[0]);
    assert!(matches!(&end, EventKind::Failed(error) if error.to_string().contains("told to")), "{end:?}");
    let (again, end) = last(&greedy[0]);
    assert!(matches!(end, EventKind::Finished { .. }), "{end:?}");
    assert_eq!(again, expected);
}
