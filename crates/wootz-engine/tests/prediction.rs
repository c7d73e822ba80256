//! Predicted outputs: the same answer to the last bit, in fewer steps.

mod cpu;
mod fake;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use cpu::{Answer, PLENTY, Room, alone, ask_together, engine};
use fake::FakeModel;
use proptest::prelude::*;
use wootz_backend::model::Model;
use wootz_backend::step::StepLimits;
use wootz_engine::{
    Answers, BeamSearch, DraftCounts, Drawing, EngineError, EngineSettings, EventKind, FinishReason, Guide,
    ReasoningGuide, Request, RequestId, SamplingSettings, Scheduler, Usage,
};
use wootz_grammar::{Grammar, GrammarCompiler, GrammarSource, TokenText, Vocabulary};

/// How a prediction differs from the answer.
#[derive(Debug, Clone, Copy)]
enum Change {
    Nothing,
    Replaced(usize),
    LeftOut(usize, usize),
    Inserted(usize, usize),
    Reversed,
}

fn changes() -> impl Strategy<Value = Change> {
    let place = || 0usize..24;
    prop_oneof![
        2 => Just(Change::Nothing),
        2 => place().prop_map(Change::Replaced),
        1 => (place(), 1usize..6).prop_map(|(place, count)| Change::LeftOut(place, count)),
        1 => (place(), 1usize..6).prop_map(|(place, count)| Change::Inserted(place, count)),
        1 => Just(Change::Reversed),
    ]
}

impl Change {
    fn of(self, answer: &[u32]) -> Vec<u32> {
        let mut text = answer.to_vec();
        let at = |place: usize| place.min(answer.len());
        match self {
            Change::Nothing => {}
            Change::Replaced(place) => {
                if let Some(token) = text.get_mut(place) {
                    *token ^= 1;
                }
            }
            Change::LeftOut(place, count) => drop(text.drain(at(place)..at(place + count))),
            Change::Inserted(place, count) => drop(text.splice(at(place)..at(place), vec![5; count])),
            Change::Reversed => text.reverse(),
        }
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// In a batch with others, in pieces, with a prefix that is there already, in a pool that hardly holds one of them.
    #[test]
    fn a_prediction_changes_no_bit_of_an_answer(
        requests in prop::collection::vec((cpu::request(1..2), changes()), 16),
        rows in 16usize..80,
    ) {
        let (requests, changes): (Vec<Request>, Vec<Change>) = requests.into_iter().unzip();
        let expected: Vec<Vec<Answer>> = alone(&requests);
        let predicted = |((request, expected), change): ((&Request, &Vec<Answer>), &Change)| {
            Request { prediction: change.of(&expected[0].tokens).into(), ..request.clone() }
        };
        let predicted: Vec<Request> = requests.iter().zip(&expected).zip(&changes).map(predicted).collect();
        let plenty = engine(Room { rows, ..PLENTY });
        let mut accepted = 0;
        for engine in [&plenty, &plenty, &engine(Room { pages: 20, rows: 64 })] {
            for ((found, usage), expected) in ask_together(engine, &predicted).into_iter().zip(&expected) {
                prop_assert_eq!(&found, expected);
                accepted += usage.drafts.accepted;
            }
        }
        prop_assert!(accepted > 0, "no draft was right");
    }
}

/// An answer and the steps that it took.
fn run(request: Request, vocab: usize) -> (Vec<u32>, FinishReason, Usage, u64) {
    let limits = StepLimits { vocab, positions: 512, rows: 64, samples: 32, pages: 64 };
    let mut model = FakeModel::new(limits);
    let mut scheduler = Scheduler::new(limits, &EngineSettings::default());
    scheduler.add(RequestId(0), request, Drawing::Host, Duration::ZERO).unwrap();
    let (mut tokens, mut end) = (Vec::new(), None);
    while let Some(step) = scheduler.plan(Duration::ZERO, Drawing::Host) {
        for event in scheduler.apply(model.forward(&step).unwrap()) {
            match event.event.kind {
                EventKind::Token(sampled) => tokens.push(sampled.token),
                EventKind::Finished { reason, usage } => end = Some((reason, usage)),
                EventKind::Failed(error) => panic!("{error}"),
                EventKind::Prompted { .. } | EventKind::PromptLogprobs(_) => {}
            }
        }
        scheduler.check();
    }
    let (reason, usage) = end.expect("it ends");
    (tokens, reason, usage, scheduler.steps_planned())
}

fn request(length: usize) -> Request {
    Request {
        sampling: SamplingSettings {
            seed: 3,
            repetition_penalty: 1.1,
            frequency_penalty: 0.2,
            ..SamplingSettings::plain(1.0)
        },
        max_tokens: NonZeroUsize::new(length),
        ..Request::new(vec![1, 2, 3, 4, 5], Vec::new())
    }
}

#[test]
fn an_answer_that_was_foreseen_takes_few_steps() {
    let plain = run(request(64), 1000);
    assert_eq!((plain.3, plain.2.drafts), (64, DraftCounts::default()));
    let steps_with = |prediction: Vec<u32>| {
        let found = run(Request { prediction: prediction.into(), ..request(64) }, 1000);
        assert_eq!((&found.0, found.1), (&plain.0, plain.1));
        let drafts = found.2.drafts;
        assert_eq!(found.3 as usize + drafts.accepted, 64, "each draft that was right saves a step");
        (found.3, drafts.rejected)
    };
    let answer = &plain.0;
    assert_eq!(steps_with(answer.clone()), (7, 0));
    // Text before and after it, and a change in the middle.
    let longer = [&[7; 20], &answer[..], &[8; 20]].concat();
    let (steps, rejected) = steps_with(longer);
    assert!(steps <= 14 && rejected <= 30, "{steps} steps, {rejected} in vain");
    let mut changed = answer.clone();
    changed.splice(30..33, [1, 1, 1, 1]);
    let (steps, rejected) = steps_with(changed);
    assert!(steps <= 20 && rejected <= 15, "{steps} steps, {rejected} in vain");
    let (steps, rejected) = steps_with(vec![7; 100]);
    assert!(steps == 64 && rejected <= 4, "{steps} steps, {rejected} in vain");
}

/// Tokens 0 to 255 are the bytes; then the end and the mark that closes reasoning.
const END: u32 = 256;
const DONE: u32 = 257;

fn grammar(regex: &str) -> Grammar {
    let byte = |byte: u8| TokenText { bytes: vec![byte], special: false };
    let mark = |name: &str| TokenText { bytes: name.as_bytes().to_vec(), special: true };
    let tokens = (0..=255).map(byte).chain([mark("<|end|>"), mark("</think>")]);
    let compiler = GrammarCompiler::new(Vocabulary::new(tokens, &[END]).unwrap()).unwrap();
    compiler.compile(&GrammarSource::Regex(regex.to_owned())).unwrap()
}

#[test]
fn grammars_and_reasoning_budgets_hold_for_foreseen_tokens() {
    let reasoning = ReasoningGuide { opened: true, ends: vec![DONE], budget: Some(9), ..Default::default() };
    let guides = [
        Guide { grammar: Some(grammar("([abc]{5}-)*!")), ..Guide::default() },
        Guide { grammar: Some(grammar("[a-z]{40}")), ..Guide::default() },
        Guide { reasoning: Some(reasoning.clone()), grammar: None },
        Guide { reasoning: Some(reasoning), grammar: Some(grammar("(ab|cd|ef)+")) },
    ];
    for guide in guides {
        let guided = Request { guide, end_tokens: vec![END], ..request(50) };
        let (tokens, reason, _, steps) = run(guided.clone(), 258);
        for (change, most) in [(Change::Nothing, steps.div_ceil(3)), (Change::Replaced(9), steps)] {
            let prediction = change.of(&tokens).into();
            let found = run(Request { prediction, ..guided.clone() }, 258);
            assert_eq!((&found.0, found.1), (&tokens, reason));
            assert!(found.3 <= most.max(4), "{} steps instead of {steps}", found.3);
        }
        // What the grammar forbids is never taken over.
        let found = run(Request { prediction: vec![0; 60].into(), ..guided.clone() }, 258);
        assert_eq!((&found.0, found.1), (&tokens, reason));
    }
}

/// A device that draws has the next step before it is known whether drafts were right.
#[test]
fn a_device_that_draws_gives_the_same_answer_without_drafts() {
    let limits = StepLimits { vocab: 1000, positions: 512, rows: 64, samples: 32, pages: 64 };
    let (tokens, reason, ..) = run(request(40), 1000);
    let mut model = FakeModel::new(limits);
    model.draws = true;
    let engine = cpu::engine_over(Box::new(model), EngineSettings::default());
    let predicted = Request { prediction: tokens.clone().into(), ..request(40) };
    let (found, usage) = cpu::ask(&engine, &predicted);
    assert_eq!((&found[0].tokens, found[0].reason), (&tokens, Some(reason)));
    assert_eq!(usage.drafts, DraftCounts::default());
    // While another's tokens are drawn here, so are its own. It may be over before they meet.
    let mut other = request(300);
    other.sampling.typical_p = 0.9;
    let beside = |_| {
        let streams = [&other, &predicted].map(|request| engine.submit(request.clone()).unwrap());
        let (found, usage) = cpu::answers(&streams[1], 1).unwrap();
        assert_eq!((&found[0].tokens, found[0].reason), (&tokens, Some(reason)));
        usage.drafts.accepted
    };
    assert!((0..100).map(beside).any(|accepted| accepted > 0));
}

#[test]
fn several_predicted_answers_share_the_rows_of_a_step() {
    let limits = StepLimits { vocab: 1000, positions: 512, rows: 24, samples: 12, pages: 64 };
    let mut model = FakeModel::new(limits);
    let mut scheduler = Scheduler::new(limits, &EngineSettings::default());
    let mut expected = HashMap::new();
    for seed in 0..4 {
        let mut plain = request(40);
        plain.sampling.seed = seed;
        let (tokens, ..) = run(plain.clone(), 1000);
        let predicted = Request { prediction: tokens.clone().into(), ..plain };
        scheduler.add(RequestId(seed), predicted, Drawing::Host, Duration::ZERO).unwrap();
        expected.insert(RequestId(seed), tokens);
    }
    let mut found: HashMap<RequestId, Vec<u32>> = HashMap::new();
    while let Some(step) = scheduler.plan(Duration::ZERO, Drawing::Host) {
        for event in scheduler.apply(model.forward(&step).unwrap()) {
            if let EventKind::Token(sampled) = event.event.kind {
                found.entry(event.request).or_default().push(sampled.token);
            }
        }
        scheduler.check();
    }
    assert_eq!(found, expected);
    assert!(scheduler.steps_planned() <= 20, "{} steps", scheduler.steps_planned());
    assert!(scheduler.counts().tokens.drafts_accepted >= 80);
}

#[test]
fn what_can_not_be_predicted_is_refused_by_name() {
    let limits = StepLimits { vocab: 100, positions: 512, rows: 24, samples: 12, pages: 64 };
    let mut scheduler = Scheduler::new(limits, &EngineSettings::default());
    let two = NonZeroUsize::new(2).unwrap();
    let beams = Answers::Beams(BeamSearch { width: NonZeroUsize::MIN, length_penalty: 1.0 });
    for answers in [Answers::Sampled(two), beams] {
        let predicted = Request { prediction: vec![1].into(), answers, ..request(5) };
        let refused = scheduler.add(RequestId(0), predicted, Drawing::Host, Duration::ZERO).unwrap_err();
        assert!(matches!(refused, EngineError::Unsupported { .. }));
        assert!(refused.to_string().contains("a prediction for several answers"), "{refused}");
    }
    let outside = Request { prediction: vec![1, 100].into(), ..request(5) };
    let refused = scheduler.add(RequestId(0), outside, Drawing::Host, Duration::ZERO).unwrap_err();
    assert!(matches!(refused, EngineError::TokenOutsideVocabulary { token: 100, vocab: 100 }));
}
