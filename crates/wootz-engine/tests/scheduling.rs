//! Scheduler and engine with a model that reads every earlier token through its pages: an answer is right only if
//! the pages, positions and chunks were.

mod fake;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use fake::{FakeModel, logits_after};
use proptest::prelude::*;
use wootz_backend::model::{Model, Pipeline};
use wootz_backend::step::StepLimits;
use wootz_engine::{
    Drawing, Engine, EngineError, EngineSettings, Event, EventKind, FinishReason, PerplexityText, Place,
    Request, RequestId, Sampler, SamplingSettings, Scheduler, UnderWay, Usage, perplexity,
};

const VOCAB: usize = 40;
const END: u32 = 39;
const NOW: Duration = Duration::ZERO;
const DRAWING: Drawing = Drawing::Device;

fn limits(pages: usize, rows: usize, positions: usize) -> StepLimits {
    StepLimits { vocab: VOCAB, positions, rows, samples: rows, pages }
}

fn request(prompt: Vec<u32>, seed: u64, max_tokens: Option<usize>) -> Request {
    Request {
        sampling: SamplingSettings { seed, repetition_penalty: 1.1, ..SamplingSettings::plain(1.0) },
        max_tokens: max_tokens.and_then(NonZeroUsize::new),
        ..Request::new(prompt, vec![END])
    }
}

fn settings(sequences: usize) -> EngineSettings {
    EngineSettings { sequences, ..EngineSettings::default() }
}

/// The answer by definition: no pages, no chunks, no batch.
fn naive(request: &Request, context: usize) -> (Vec<u32>, FinishReason) {
    let mut sampler = Sampler::new(request.sampling.clone(), request.logprobs, VOCAB).unwrap();
    let mut tokens = request.prompt.clone();
    loop {
        let answer = &tokens[request.prompt.len()..];
        let place = Place { context: &tokens, draw: answer.len() as u64, allowed: None };
        let token = sampler.sample(&logits_after(&tokens, VOCAB), place).unwrap().token;
        if request.end_tokens.contains(&token) {
            return (answer.to_vec(), FinishReason::EndToken(token));
        }
        tokens.push(token);
        let answer = &tokens[request.prompt.len()..];
        if request.max_tokens.is_some_and(|max| answer.len() >= max.get()) {
            return (answer.to_vec(), FinishReason::MaxTokens);
        }
        if tokens.len() >= context {
            return (answer.to_vec(), FinishReason::ContextFull);
        }
    }
}

#[derive(Default, Debug)]
struct Answer {
    tokens: Vec<u32>,
    end: Option<(FinishReason, Usage)>,
}

fn run(scheduler: &mut Scheduler, model: &mut FakeModel, answers: &mut HashMap<RequestId, Answer>) -> usize {
    let mut steps = 0;
    while let Some(step) = scheduler.plan(NOW, Drawing::Host) {
        steps += 1;
        assert!(steps < 100_000, "the scheduler does not come to an end");
        scheduler.check();
        let logits = model.forward(&step).expect("a planned step is a valid step");
        note(scheduler.apply(logits), answers);
    }
    steps
}

/// The same with two steps under way, whose tokens the model draws.
fn run_ahead(scheduler: &mut Scheduler, model: &mut FakeModel, answers: &mut HashMap<RequestId, Answer>) {
    while !scheduler.is_idle() {
        while scheduler.under_way() < 2 {
            let Some(step) = scheduler.plan(NOW, Drawing::Device) else { break };
            model.submit(&step, &scheduler.draws()).expect("a planned step is a valid step");
        }
        scheduler.check();
        let drawn = model.collect().unwrap();
        note(scheduler.apply_drawn(&drawn), answers);
    }
}

fn note(events: Vec<Event>, answers: &mut HashMap<RequestId, Answer>) {
    for event in events {
        let answer = answers.entry(event.request).or_default();
        assert!(answer.end.is_none(), "an event after the last one");
        match event.event.kind {
            EventKind::Token(sampled) => answer.tokens.push(sampled.token),
            EventKind::Finished { reason, usage } => answer.end = Some((reason, usage)),
            EventKind::Prompted { .. } => assert!(answer.tokens.is_empty()),
            EventKind::PromptLogprobs(_) => panic!("nobody asked for them"),
            EventKind::Failed(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn answers_do_not_depend_on_batch_chunks_reused_prefixes_or_steps_ahead(
        rounds in prop::collection::vec(
            prop::collection::vec((prop::collection::vec(0u32..3, 1..60), 0u64..4, prop::option::of(1usize..30)), 1..5),
            1..4,
        ),
        rows in 1usize..40,
        pages in 4usize..14,
        sequences in 1usize..5,
        ahead: bool,
    ) {
        let limits = limits(pages, rows, 64);
        let context = 64.min(pages * 16);
        let mut model = FakeModel::new(limits);
        let mut scheduler = Scheduler::new(limits, &settings(sequences));
        let (mut next, mut blocks) = (0, 0);
        for round in rounds {
            let mut answers = HashMap::new();
            let mut expected = HashMap::new();
            for (prompt, seed, max_tokens) in round {
                let request = request(prompt, seed, max_tokens);
                let id = RequestId(next);
                next += 1;
                if request.prompt.len() >= context {
                    let refused = scheduler.add(id, request, DRAWING, NOW);
                    let as_expected = matches!(refused, Err(EngineError::ContextFull { .. }));
                    prop_assert!(as_expected);
                } else {
                    expected.insert(id, naive(&request, context));
                    blocks += (request.prompt.len() as u64 - 1) / 16;
                    scheduler.add(id, request, DRAWING, NOW).unwrap();
                }
            }
            if ahead {
                run_ahead(&mut scheduler, &mut model, &mut answers);
            } else {
                run(&mut scheduler, &mut model, &mut answers);
            }
            prop_assert!(scheduler.is_idle());
            prop_assert_eq!(answers.len(), expected.len());
            for (id, (tokens, reason)) in expected {
                let (found, usage) = answers[&id].end.unwrap();
                prop_assert_eq!(&answers[&id].tokens, &tokens);
                prop_assert_eq!(found, reason);
                prop_assert_eq!(usage.generated, tokens.len());
            }
        }
        let wootz_engine::Counts { prefix, tokens, .. } = *scheduler.counts();
        prop_assert_eq!(prefix.hits + prefix.misses, blocks);
        prop_assert_eq!(tokens.prompt_reused_from_memory, 16 * prefix.hits);
    }

    #[test]
    fn cancelling_frees_everything_in_the_end(
        prompts in prop::collection::vec(prop::collection::vec(0u32..3, 1..40), 1..8),
        cancelled in prop::collection::vec((0u64..8, 0usize..6), 0..8),
        ahead: bool,
    ) {
        let limits = limits(6, 8, 64);
        let mut model = FakeModel::new(limits);
        let mut scheduler = Scheduler::new(limits, &settings(3));
        for (id, prompt) in prompts.iter().enumerate() {
            scheduler.add(RequestId(id as u64), request(prompt.clone(), 0, Some(5)), DRAWING, NOW).unwrap();
        }
        let mut steps = 0;
        loop {
            for (id, _) in cancelled.iter().filter(|(_, when)| *when == steps) {
                scheduler.cancel(RequestId(*id));
            }
            match scheduler.plan(NOW, if ahead { Drawing::Device } else { Drawing::Host }) {
                Some(step) if ahead => model.submit(&step, &scheduler.draws()).unwrap(),
                Some(step) => drop(scheduler.apply(model.forward(&step).unwrap())),
                None if scheduler.under_way() == 0 => break,
                None => {}
            }
            if scheduler.under_way() == 2 || scheduler.under_way() == 1 && steps % 3 == 0 {
                let drawn = model.collect().unwrap();
                scheduler.apply_drawn(&drawn);
            }
            steps += 1;
        }
        prop_assert!(scheduler.is_idle());
        // A request that needs every page can still run: nothing was lost.
        scheduler.add(RequestId(100), request(vec![1], 0, None), DRAWING, NOW).unwrap();
        let mut answers = HashMap::new();
        run(&mut scheduler, &mut model, &mut answers);
        prop_assert!(answers[&RequestId(100)].end.is_some());
        prop_assert_eq!(scheduler.pages().held, 0);
    }
}

#[test]
fn a_second_turn_computes_only_what_is_new() {
    let limits = limits(8, 16, 128);
    let mut model = FakeModel::new(limits);
    let mut scheduler = Scheduler::new(limits, &settings(1));
    let mut answers = HashMap::new();
    let first = request((0..50).map(|i| i % 7).collect(), 1, Some(4));
    scheduler.add(RequestId(0), first.clone(), DRAWING, NOW).unwrap();
    let whole = run(&mut scheduler, &mut model, &mut answers);
    let mut turn = first.prompt.clone();
    turn.extend(&answers[&RequestId(0)].tokens);
    turn.extend([5, 6]);
    scheduler.add(RequestId(1), request(turn.clone(), 1, Some(4)), DRAWING, NOW).unwrap();
    let again = run(&mut scheduler, &mut model, &mut answers);
    let (_, usage) = answers[&RequestId(1)].end.unwrap();
    // Whole blocks are found. The answer's last token was never computed: nothing followed it.
    assert_eq!(usage.reused, (turn.len() - 3) / 16 * 16);
    assert!(again < whole, "{again} {whole}");
}

#[test]
fn a_device_fault_fails_the_requests_of_one_step() {
    for ahead in [false, true] {
        let mut model = FakeModel::new(limits(8, 16, 128));
        model.fails = 2..4;
        model.draws = ahead;
        let engine = Engine::start(Box::new(model), settings(1)).unwrap();
        let stream = engine.submit(request(vec![1, 2, 3], 0, Some(50))).unwrap();
        let mut tokens = 0;
        let error = loop {
            match stream.next_event().unwrap().unwrap().kind {
                EventKind::Prompted { reused, .. } => assert_eq!((reused, tokens), (0, 0)),
                EventKind::Token(_) => tokens += 1,
                EventKind::Failed(error) => break error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(tokens, 2);
        assert!(error.to_string().contains("as arranged"), "{error}");
        // The engine lives. One after the other meets what is left of the fault, until one is answered in full.
        let request = request(vec![1, 2], 5, Some(9));
        let answered = (0..3).find_map(|_| answer(&engine, &request));
        assert_eq!(answered.expect("the fault passes"), naive(&request, 128).0);
    }
}

/// The whole answer; `None` if it failed.
fn answer(engine: &Engine, request: &Request) -> Option<Vec<u32>> {
    let stream = engine.submit(request.clone()).unwrap();
    let mut tokens = Vec::new();
    loop {
        match stream.next_event().unwrap().unwrap().kind {
            EventKind::Prompted { .. } | EventKind::PromptLogprobs(_) => {}
            EventKind::Token(sampled) => tokens.push(sampled.token),
            EventKind::Finished { .. } => return Some(tokens),
            EventKind::Failed(_) => return None,
        }
    }
}

#[test]
fn a_failed_step_leaves_no_prefix_of_a_request_that_was_cancelled_in_it() {
    let limits = limits(8, 16, 128);
    let mut model = FakeModel::new(limits);
    let mut scheduler = Scheduler::new(limits, &settings(1));
    let prompt: Vec<u32> = (0..12).collect();
    scheduler.add(RequestId(0), request(prompt.clone(), 1, Some(4)), DRAWING, NOW).unwrap();
    let step = scheduler.plan(NOW, Drawing::Host).unwrap();
    scheduler.cancel(RequestId(0));
    // What the step was to write is undefined: it is not even run.
    drop(step);
    let error = EngineError::Backend(wootz_backend::BackendError::Device { reason: "a test".into() }.into());
    assert!(scheduler.fail(UnderWay::Oldest, &error).is_empty());
    assert_eq!(scheduler.pages().free, 8);
    let again = request(prompt, 1, Some(4));
    scheduler.add(RequestId(1), again.clone(), DRAWING, NOW).unwrap();
    let mut answers = HashMap::new();
    run(&mut scheduler, &mut model, &mut answers);
    assert_eq!(answers[&RequestId(1)].tokens, naive(&again, 128).0);
    assert_eq!(answers[&RequestId(1)].end.unwrap().1.reused, 0);
}

#[test]
fn a_request_that_the_device_cannot_draw_for_is_drawn_for_here() {
    let mut model = FakeModel::new(limits(16, 16, 128));
    model.draws = true;
    let engine = Engine::start(Box::new(model), settings(4)).unwrap();
    let simple = request(vec![1, 2, 3], 3, Some(40));
    let mut other = request(vec![4, 5], 4, Some(6));
    other.sampling.typical_p = 0.9;
    let first = engine.submit(simple.clone()).unwrap();
    // It arrives while the first one's steps run ahead.
    assert_eq!(answer(&engine, &other), Some(naive(&other, 128).0));
    let mut tokens = Vec::new();
    loop {
        match first.next_event().unwrap().unwrap().kind {
            EventKind::Token(sampled) => tokens.push(sampled.token),
            EventKind::Prompted { .. } | EventKind::PromptLogprobs(_) => {}
            end => break assert!(matches!(end, EventKind::Finished { .. })),
        }
    }
    assert_eq!(tokens, naive(&simple, 128).0);
}

#[test]
fn the_engine_streams_refuses_and_forgets_the_gone() {
    let engine = Engine::start(Box::new(FakeModel::new(limits(8, 16, 128))), settings(2)).unwrap();
    let refused = engine.submit(request(Vec::new(), 0, None)).unwrap();
    assert!(matches!(
        refused.next_event().unwrap().unwrap().kind,
        EventKind::Failed(EngineError::EmptyPrompt)
    ));
    let refused = engine.submit(request(vec![VOCAB as u32], 0, None)).unwrap();
    assert!(matches!(
        refused.next_event().unwrap().unwrap().kind,
        EventKind::Failed(EngineError::TokenOutsideVocabulary { .. })
    ));
    let refused = engine.submit(request(vec![1; 128], 0, None)).unwrap();
    let EventKind::Failed(error) = refused.next_event().unwrap().unwrap().kind else {
        panic!("it does not fit")
    };
    assert!(error.to_string().contains("128 tokens and the context holds 128"), "{error}");
    // Cancelled requests hold all pages until they are forgotten; the last one gets through.
    for seed in 0..20 {
        drop(engine.submit(request(vec![1, 2], seed, None)).unwrap());
    }
    let request = request(vec![1, 2], 7, Some(9));
    assert_eq!(answer(&engine, &request), Some(naive(&request, 128).0));
}

#[test]
fn perplexity_does_not_depend_on_the_steps() {
    let tokens: Vec<u32> = (0..400).map(|i| (i * i + i / 3) % 38).collect();
    let text = PerplexityText { tokens: &tokens, begin: Some(3), context: 64, chunks: usize::MAX };
    // By definition: surprises of positions 33..64 of each whole chunk.
    let (mut sum, mut count) = (0.0, 0);
    for chunk in tokens.chunks_exact(64) {
        let mut seen = chunk.to_vec();
        seen[0] = 3;
        for position in 33..64 {
            let logits = logits_after(&seen[..position], VOCAB);
            let mass: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            sum -= (f64::from(logits[chunk[position] as usize]).exp() / mass).ln();
            count += 1;
        }
    }
    for (rows, samples) in [(64, 64), (7, 7), (100, 5), (1, 1)] {
        let limits = StepLimits { samples, ..limits(4, rows, 64) };
        let mut seen = Vec::new();
        let result = perplexity(&mut FakeModel::new(limits), text, |so_far| seen.push(so_far.chunk)).unwrap();
        assert_eq!((result.tokens, seen), (count, (1..=6).collect()));
        assert!((result.value / (sum / count as f64).exp() - 1.0).abs() < 1e-6);
    }
    let short = perplexity(
        &mut FakeModel::new(limits(4, 8, 64)),
        PerplexityText { tokens: &tokens[..127], ..text },
        |_| (),
    );
    assert!(matches!(short, Err(EngineError::TextTooShort { found: 127, needed: 128 })));
}
