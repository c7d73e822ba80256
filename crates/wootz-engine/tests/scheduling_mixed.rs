//! The scheduler under everything at once: arrivals at any time, several answers, beams, cancelled and stopped answers,
//! failing steps, too few pages. Its books are checked after every step, and every answer is that of the model alone.

mod fake;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use fake::{FakeModel, reference};
use proptest::prelude::*;
use wootz_backend::model::{Model, Pipeline};
use wootz_backend::step::StepLimits;
use wootz_engine::{
    Answers, BeamSearch, Drawing, EngineError, EngineSettings, Event, EventKind, FinishReason, Policy,
    PrefixReuse, Request, RequestId, SampledLogprobs, SamplingSettings, Scheduler, Scheduling, Tenant,
    UnderWay,
};

const VOCAB: usize = 20;
const END: u32 = 19;

/// A request, and what its caller does.
#[derive(Debug, Clone)]
struct Visit {
    request: Request,
    /// Before this step.
    arrives: usize,
    cancels: Option<usize>,
    /// Which answer it stops, when that has so many tokens.
    stops: Option<(usize, usize)>,
    guess: Guess,
}

/// What the caller expects the answer to be.
#[derive(Debug, Clone)]
enum Guess {
    None,
    /// The answer, after these changes: a place, how many tokens go there, and which come.
    Edited(Vec<(usize, usize, Vec<u32>)>),
    /// Anything.
    Wild(Vec<u32>),
}

impl Guess {
    /// The request with its prediction, if it may have one.
    fn of(&self, request: &Request, limits: &StepLimits) -> Request {
        let tokens = match self {
            Guess::Edited(edits) if request.answers == Answers::default() => {
                let mut text = request.prompt.clone();
                if request.prompt.len() < reference::context(request, limits) {
                    text = reference::answers(request, limits).remove(0).0;
                }
                for (place, gone, come) in edits {
                    let place = place % (text.len() + 1);
                    let end = (place + gone).min(text.len());
                    text.splice(place..end, come.iter().copied());
                }
                text
            }
            Guess::Wild(tokens) if request.answers == Answers::default() => tokens.clone(),
            Guess::None | Guess::Edited(_) | Guess::Wild(_) => Vec::new(),
        };
        Request { prediction: tokens.into(), ..request.clone() }
    }
}

fn guesses() -> impl Strategy<Value = Guess> {
    let edit = (0usize..40, 0usize..4, prop::collection::vec(0..VOCAB as u32, 0..4));
    prop_oneof![
        2 => Just(Guess::None),
        3 => prop::collection::vec(edit, 0..3).prop_map(Guess::Edited),
        1 => prop::collection::vec(0..VOCAB as u32, 1..60).prop_map(Guess::Wild),
    ]
}

/// What came back.
#[derive(Debug, Default)]
struct Answer {
    tokens: Vec<u32>,
    end: Option<FinishReason>,
}

#[derive(Debug, Default)]
struct Outcome {
    answers: Vec<Answer>,
    prompted: bool,
    scores: Option<Vec<Option<SampledLogprobs>>>,
    failed: bool,
}

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let shape = (
        prop::collection::vec(0u32..2, 1..70),
        0u64..3,
        prop::option::weighted(0.8, 1usize..30),
        prop_oneof![4 => Just(None), 1 => (0usize..4).prop_map(Some)],
        prop_oneof![5 => Just(1usize), 2 => 2usize..4],
        prop_oneof![6 => Just(None), 1 => prop_oneof![Just(0.0f32), Just(1.0), Just(2.0)].prop_map(Some)],
    );
    let life = (
        0usize..30,
        prop::option::weighted(0.15, 0usize..40),
        prop::option::weighted(0.15, (0usize..3, 0usize..6)),
        -1i32..2,
        0u64..2,
        prop_oneof![4 => Just(PrefixReuse::Longest), 1 => Just(PrefixReuse::Nothing)],
    );
    let visit =
        (shape, life, guesses()).prop_map(|((prompt, seed, max, scores, count, beams), life, guess)| {
            let (arrives, cancels, stops, priority, tenant, reuse) = life;
            let count = NonZeroUsize::new(count).unwrap();
            let answers = match beams {
                None => Answers::Sampled(count),
                Some(length_penalty) => Answers::Beams(BeamSearch { width: count, length_penalty }),
            };
            let request = Request {
                sampling: SamplingSettings { seed, repetition_penalty: 1.1, ..SamplingSettings::plain(1.0) },
                max_tokens: max.and_then(NonZeroUsize::new),
                answers,
                prompt_logprobs: scores,
                reuse,
                scheduling: Scheduling { priority, deadline: None, tenant: Tenant(tenant) },
                ..Request::new(prompt, vec![END])
            };
            Visit { request, arrives, cancels, stops, guess }
        });
    prop::collection::vec(visit, 1..12)
}

/// A run of the scheduler over all visits.
struct Run<'a> {
    scheduler: Scheduler,
    model: FakeModel,
    visits: &'a [Visit],
    outcomes: HashMap<RequestId, Outcome>,
    cancelled: HashSet<RequestId>,
    stopped: HashSet<(RequestId, usize)>,
    ahead: bool,
}

impl Run<'_> {
    fn whole(&mut self) {
        let last = self.visits.iter().map(|visit| visit.arrives).max().unwrap_or(0);
        let mut step = 0;
        while step <= last || !self.scheduler.is_idle() {
            self.callers(step);
            let events = self.turn();
            self.note(events);
            self.scheduler.check();
            step += 1;
            assert!(step < 20_000, "somebody starves");
        }
    }

    fn callers(&mut self, step: usize) {
        let now = Duration::from_millis(step as u64);
        for (number, visit) in self.visits.iter().enumerate() {
            let id = RequestId(number as u64);
            if visit.arrives == step {
                let drawing = if self.ahead { Drawing::Device } else { Drawing::Host };
                let request = visit.guess.of(&visit.request, &self.model.limits());
                match self.scheduler.add(id, request, drawing, now) {
                    Ok(()) => drop(self.outcomes.insert(id, Outcome::default())),
                    Err(EngineError::ContextFull { context, .. }) => {
                        assert_eq!(context, reference::context(&visit.request, &self.model.limits()));
                        assert!(visit.request.prompt.len() >= context);
                    }
                    Err(EngineError::Unsupported { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            if visit.cancels.is_some_and(|after| visit.arrives + after == step) {
                self.scheduler.cancel(id);
                self.cancelled.insert(id);
            }
            if let (Some((answer, tokens)), Some(outcome)) = (visit.stops, self.outcomes.get(&id))
                && outcome.answers.get(answer).is_some_and(|answer| answer.tokens.len() >= tokens)
            {
                let events = self.scheduler.stop(id, answer);
                if !events.is_empty() {
                    self.stopped.insert((id, answer));
                }
                self.note(events);
            }
        }
    }

    /// What the engine's thread does in a turn.
    fn turn(&mut self) -> Vec<Event> {
        let error =
            EngineError::Backend(wootz_backend::BackendError::Device { reason: "a test".into() }.into());
        if self.ahead && !self.scheduler.needs_host() {
            while self.scheduler.under_way() < 2 {
                let Some(step) = self.scheduler.plan(Duration::ZERO, Drawing::Device) else { break };
                self.model.submit(&step, &self.scheduler.draws()).expect("a planned step is a valid step");
            }
        } else if self.scheduler.under_way() == 0 {
            let Some(step) = self.scheduler.plan(Duration::ZERO, Drawing::Host) else {
                // Nobody would wake the engine's thread.
                assert!(self.scheduler.is_idle(), "nothing is planned, and somebody waits");
                return Vec::new();
            };
            step.validate(&self.model.limits()).expect("a planned step is a valid step");
            return match self.model.forward(&step) {
                Ok(logits) => self.scheduler.apply(logits),
                Err(_) => self.scheduler.fail(UnderWay::Oldest, &error),
            };
        }
        if self.scheduler.under_way() == 0 {
            assert!(self.scheduler.is_idle(), "nothing is planned, and somebody waits");
            return Vec::new();
        }
        match self.model.collect() {
            Ok(drawn) => self.scheduler.apply_drawn(&drawn),
            Err(_) => self.scheduler.fail(UnderWay::Oldest, &error),
        }
    }

    fn note(&mut self, events: Vec<Event>) {
        for Event { request, event } in events {
            assert!(!self.cancelled.contains(&request), "an event of a cancelled request");
            let outcome = self.outcomes.get_mut(&request).expect("an event of a request");
            assert!(!outcome.failed, "an event after the last one");
            let count = self.visits[request.0 as usize].request.answers.count();
            outcome.answers.resize_with(count, Answer::default);
            let answer = &mut outcome.answers[event.answer];
            assert!(answer.end.is_none() || matches!(event.kind, EventKind::Failed(_)), "{:?}", event.kind);
            match event.kind {
                EventKind::Token(sampled) => {
                    assert!(outcome.prompted);
                    answer.tokens.push(sampled.token);
                }
                EventKind::Finished { reason, usage } => {
                    assert_eq!(usage.generated, answer.tokens.len());
                    assert!(usage.drafts.accepted <= usage.generated + 1, "an end token may be foreseen");
                    answer.end = Some(reason);
                }
                EventKind::Prompted { .. } => assert!(!std::mem::replace(&mut outcome.prompted, true)),
                EventKind::PromptLogprobs(scores) => outcome.scores = Some(scores),
                EventKind::Failed(_) => outcome.failed = true,
            }
        }
    }

    fn verify(&self) {
        let limits = self.model.limits();
        for (id, outcome) in &self.outcomes {
            let request = &self.visits[id.0 as usize].request;
            let partial = outcome.failed || self.cancelled.contains(id);
            let expected = reference::answers(request, &limits);
            assert!(partial || outcome.answers.len() == expected.len());
            for (number, (answer, (tokens, reason))) in outcome.answers.iter().zip(&expected).enumerate() {
                if self.stopped.contains(&(*id, number)) {
                    assert_eq!(answer.end, Some(FinishReason::Stopped));
                    assert!(tokens.starts_with(&answer.tokens));
                } else if partial {
                    assert!(tokens.starts_with(&answer.tokens));
                } else {
                    assert_eq!(&answer.tokens, tokens, "answer {number} of request {id:?}: {request:?}");
                    assert_eq!(answer.end, Some(*reason));
                }
            }
            if let Some(scores) = &outcome.scores {
                verify_scores(request, scores);
            }
            assert!(partial || outcome.scores.is_some() == request.prompt_logprobs.is_some());
        }
    }
}

fn verify_scores(request: &Request, scores: &[Option<SampledLogprobs>]) {
    assert_eq!(scores.len(), request.prompt.len());
    assert!(scores[0].is_none());
    for (position, score) in scores.iter().enumerate().skip(1) {
        let score = score.as_ref().expect("all but the first are told");
        let expected = reference::log_probabilities(&request.prompt[..position], VOCAB);
        let token = request.prompt[position] as usize;
        assert!((f64::from(score.chosen) - expected[token]).abs() < 1e-4);
        assert_eq!(Some(score.top.len()), request.prompt_logprobs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_answer_is_that_of_the_model_alone_and_no_page_is_lost(
        visits in visits(),
        rows in 4usize..40,
        samples in 4usize..8,
        pages in 5usize..24,
        sequences in 1usize..5,
        policy in prop_oneof![Just(Policy::Fcfs), Just(Policy::Deadline), Just(Policy::FairShare)],
        fails in prop_oneof![3 => Just(0..0), 1 => (0usize..40, 1usize..3).prop_map(|(at, count)| at..at + count)],
        ahead: bool,
    ) {
        let limits = StepLimits { vocab: VOCAB, positions: 96, rows, samples, pages };
        let settings = EngineSettings { sequences, policy, ..EngineSettings::default() };
        let mut model = FakeModel::new(limits);
        model.fails = fails;
        let mut run = Run {
            scheduler: Scheduler::new(limits, &settings),
            model,
            visits: &visits,
            outcomes: HashMap::new(),
            cancelled: HashSet::new(),
            stopped: HashSet::new(),
            ahead,
        };
        run.whole();
        run.verify();
        prop_assert_eq!(run.scheduler.pages().held, 0);
    }
}

fn run_of(visits: &[Visit], limits: StepLimits, ahead: bool) -> Run<'_> {
    Run {
        scheduler: Scheduler::new(limits, &EngineSettings::default()),
        model: FakeModel::new(limits),
        visits,
        outcomes: HashMap::new(),
        cancelled: HashSet::new(),
        stopped: HashSet::new(),
        ahead,
    }
}

fn visit(request: Request, arrives: usize) -> Visit {
    Visit { request, arrives, cancels: None, stops: None, guess: Guess::None }
}

#[test]
fn requests_that_come_together_compute_what_they_share_once() {
    for ahead in [false, true] {
        let limits = StepLimits { vocab: VOCAB, positions: 96, rows: 256, samples: 32, pages: 64 };
        let shared = |_| visit(Request::new((0..40).map(|token| token % 3).collect(), vec![END]), 0);
        let visits: Vec<Visit> = (0..4).map(shared).collect();
        let mut run = run_of(&visits, limits, ahead);
        run.whole();
        run.verify();
        assert_eq!(run.scheduler.counts().tokens.prompt_computed, 40 + 3 * 8);
    }
}

/// The answers of the request that gives its pages up share what they can when it starts again: if each computed the
/// prompt for itself, the pool would not hold them, and nobody but itself could give pages up.
#[test]
fn answers_that_start_again_in_a_pool_that_just_holds_them_share_their_prompt() {
    for (ahead, reuse) in [false, true].into_iter().zip([PrefixReuse::Longest, PrefixReuse::Nothing]) {
        let limits = StepLimits { vocab: VOCAB, positions: 256, rows: 256, samples: 32, pages: 14 };
        let several = Request {
            reuse,
            answers: Answers::Sampled(NonZeroUsize::new(3).expect("not zero")),
            scheduling: Scheduling { priority: -1, ..Scheduling::default() },
            ..Request::new((0..100).map(|token| token % 7).collect(), Vec::new())
        };
        let other = Request {
            max_tokens: NonZeroUsize::new(170),
            ..Request::new((0..40).map(|token| 10 + token % 3).collect(), Vec::new())
        };
        let visits = [visit(several, 0), visit(other, 2)];
        let mut run = run_of(&visits, limits, ahead);
        run.whole();
        run.verify();
        assert!(run.scheduler.counts().preemptions > 0);
    }
}

#[test]
fn only_a_request_that_runs_or_would_start_makes_steps_wait() {
    let limits = StepLimits { vocab: VOCAB, positions: 96, rows: 64, samples: 8, pages: 24 };
    let settings = EngineSettings { sequences: 2, ..EngineSettings::default() };
    let mut scheduler = Scheduler::new(limits, &settings);
    let plain =
        |tokens| Request { max_tokens: NonZeroUsize::new(tokens), ..Request::new(vec![1, 2], vec![]) };
    let scored = Request { prompt_logprobs: Some(0), ..plain(2) };
    let mut model = FakeModel::new(limits);
    for (id, request) in [plain(4), plain(9), scored].into_iter().enumerate() {
        scheduler.add(RequestId(id as u64), request, Drawing::Device, Duration::ZERO).unwrap();
    }
    let mut waited = Vec::new();
    while !scheduler.is_idle() {
        waited.push(scheduler.needs_host());
        let drawing = if scheduler.needs_host() { Drawing::Host } else { Drawing::Device };
        let step = scheduler.plan(Duration::ZERO, drawing).expect("somebody runs");
        scheduler.apply(model.forward(&step).unwrap());
    }
    // For the four tokens of the first the third has no slot; then it runs for two.
    assert_eq!(waited, [[false; 4].as_slice(), &[true; 2], &[false; 3]].concat());
}
