//! What an engine counts, and that it goes on after mistakes.

mod fake;

use std::num::NonZeroUsize;

use fake::FakeModel;
use wootz_backend::step::{PAGE_TOKENS, StepLimits};
use wootz_engine::{
    Engine, EngineError, EngineMetrics, EngineSettings, EventKind, EventStream, Guide, ReasoningGuide,
    Request,
};

fn model() -> FakeModel {
    FakeModel::new(StepLimits { vocab: 50, positions: 20 * PAGE_TOKENS, rows: 32, samples: 4, pages: 40 })
}

fn engine(model: FakeModel) -> Engine {
    Engine::start(Box::new(model), EngineSettings::default()).expect("it starts")
}

fn request(prompt: Vec<u32>, tokens: usize) -> Request {
    Request { max_tokens: NonZeroUsize::new(tokens), ..Request::new(prompt, Vec::new()) }
}

/// The number of tokens of an answer, or how it failed.
fn answer(stream: &EventStream) -> Result<usize, EngineError> {
    let mut tokens = 0;
    while let Some(event) = stream.next_event()? {
        match event.kind {
            EventKind::Token(_) => tokens += 1,
            EventKind::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Ok(tokens)
}

/// The figures as soon as they show so many ended requests: they are published a moment after the last event.
fn metrics(engine: &Engine, ended: u64) -> EngineMetrics {
    loop {
        let metrics = engine.metrics();
        let requests = &metrics.requests;
        let seen =
            requests.refused + requests.stopped + requests.length + requests.cancelled + requests.failed;
        if seen >= ended && metrics.waiting == 0 {
            return metrics;
        }
        std::thread::yield_now();
    }
}

#[test]
fn requests_tokens_and_durations_are_counted() {
    let engine = engine(model());
    for _ in 0..3 {
        let stream = engine.submit(request((1..40).collect(), 5)).expect("there is room");
        assert_eq!(answer(&stream).expect("it answers"), 5);
    }
    assert!(answer(&engine.submit(request(vec![99], 5)).expect("it is taken")).is_err());
    let empty = engine.submit(request(Vec::new(), 5));
    assert!(empty.and_then(|stream| answer(&stream)).is_err());
    drop(engine.submit(request(vec![1, 2], 300)).expect("there is room"));
    let metrics = metrics(&engine, 6);
    let requests = metrics.requests;
    assert_eq!((requests.received, requests.length), (6, 3), "{requests:?}");
    assert_eq!((requests.refused, requests.cancelled, requests.failed), (2, 1, 0), "{requests:?}");
    assert!(metrics.tokens.generated >= 15);
    assert!(metrics.time_to_first_token.count() >= 3 && metrics.queued.count() >= 3);
    assert!(metrics.inter_token.count() >= 12 && metrics.steps.count() >= 15);
    assert!(metrics.scheduler_seconds > 0.0 && metrics.sampling_seconds > 0.0);
    let pages = metrics.pages;
    assert_eq!(pages.free + pages.cached + pages.held, 40);
}

#[test]
fn a_panic_of_the_device_fails_the_requests_of_that_step() {
    for draws in [false, true] {
        let mut model = model();
        (model.panics, model.draws) = (2..3, draws);
        let engine = engine(model);
        let stream = engine.submit(request(vec![1, 2, 3], 10)).expect("there is room");
        let error = answer(&stream).expect_err("its third step panics");
        assert!(matches!(error, EngineError::Backend(_)), "{error}");
        assert!(error.to_string().contains("as arranged"), "{error}");
        let stream = engine.submit(request(vec![1, 2, 3], 10)).expect("there is room");
        assert_eq!(answer(&stream).expect("the engine goes on"), 10);
        let metrics = metrics(&engine, 2);
        assert_eq!((metrics.requests.failed, metrics.step_failures), (1, 1));
    }
}

#[test]
fn an_answer_whose_guide_leaves_no_token_costs_nobody_else() {
    let engine = engine(model());
    let reasoning =
        ReasoningGuide { opened: true, ends: vec![7], budget: Some(3), ..ReasoningGuide::default() };
    let mut stuck = request(vec![1, 2, 3], 10);
    stuck.guide = Guide { reasoning: Some(reasoning), grammar: None };
    stuck.sampling.logit_bias = vec![(7, f32::NEG_INFINITY)];
    let streams = [request(vec![4, 5], 20), stuck, request(vec![6, 7], 20)]
        .map(|request| engine.submit(request).expect("there is room"));
    let ends = streams.map(|stream| answer(&stream));
    assert!(matches!(ends, [Ok(20), Err(EngineError::NoTokenLeft), Ok(20)]), "{ends:?}");
}

#[test]
fn a_panic_of_the_scheduler_drops_what_it_had_and_nothing_more() {
    let mut model = model();
    model.broken = 1..2;
    let engine = engine(model);
    let streams = [(); 3].map(|()| engine.submit(request(vec![1, 2, 3], 10)).expect("there is room"));
    let failed = streams.iter().filter(|stream| matches!(answer(stream), Err(EngineError::Internal { .. })));
    assert!(failed.count() >= 1);
    let stream = engine.submit(request(vec![1, 2, 3], 10)).expect("there is room");
    assert_eq!(answer(&stream).expect("the engine goes on"), 10);
    let metrics = metrics(&engine, 4);
    assert_eq!(metrics.pages.free + metrics.pages.cached + metrics.pages.held, 40);
    assert!(engine.is_idle());
}
