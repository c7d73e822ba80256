//! A small model on the CPU, requests of many kinds, and what they are answered.
#![allow(dead_code)] // several tests use this file, and each a part of it

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wootz_backend::Model;
use wootz_backend::cpu::{CpuModel, CpuSettings, Isa};
use wootz_engine::{
    Answers, Engine, EngineError, EngineSettings, EventKind, EventStream, FinishReason, Logprobs,
    PenaltyWindow, Request, SamplingSettings, Usage,
};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// Tokens of the model's vocabulary.
pub const VOCAB: u32 = 512;

/// What an engine has to work with.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Pages of the pool.
    pub pages: usize,
    /// Rows of a step.
    pub rows: usize,
}

/// More than 32 requests need.
pub const PLENTY: Room = Room { pages: 1024, rows: 512 };

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wootz-backend/tests/fixtures/stories260k/model.gguf")
}

/// The model's fingerprint.
pub fn fingerprint() -> [u8; 32] {
    let weights = wootz_weights::fingerprint(&Checkpoint::open(path()).unwrap()).unwrap();
    wootz_engine::model_fingerprint(&weights, &format!("cpu {}", Isa::detect()))
}

/// A real model of 260 thousand weights, 512 positions.
pub fn model(room: Room) -> CpuModel {
    let checkpoint = Checkpoint::open(path()).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let Room { pages, rows } = room;
    let settings = CpuSettings { threads: 1, isa: Isa::detect(), pages, rows, samples: 32.min(rows) };
    CpuModel::load(spec, &checkpoint, &settings, &mut |_| ()).unwrap()
}

/// An engine over that model.
pub fn engine(room: Room) -> Engine {
    engine_over(Box::new(model(room)), EngineSettings::default())
}

pub fn engine_over(model: Box<dyn Model>, settings: EngineSettings) -> Engine {
    Engine::start(model, settings).unwrap()
}

/// One answer, down to the last bit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    pub tokens: Vec<u32>,
    /// Of each token: its log probability and those of its rivals.
    pub logprobs: Vec<Vec<(u32, u32)>>,
    pub reason: Option<FinishReason>,
}

/// The answers of a request, and how many of its prompt's tokens were reused.
pub fn answers(stream: &EventStream, count: usize) -> Result<(Vec<Answer>, Usage), EngineError> {
    let mut answers = vec![Answer::default(); count];
    let mut total = Usage::default();
    while let Some(event) = stream.next_event()? {
        let answer = &mut answers[event.answer];
        match event.kind {
            EventKind::Prompted { .. } | EventKind::PromptLogprobs(_) => {}
            EventKind::Token(sampled) => {
                answer.tokens.push(sampled.token);
                answer.logprobs.extend(sampled.logprobs.map(|logprobs| {
                    let rivals = logprobs.top.iter().map(|rival| (rival.token, rival.logprob.to_bits()));
                    std::iter::once((sampled.token, logprobs.chosen.to_bits())).chain(rivals).collect()
                }));
            }
            EventKind::Finished { reason, usage } => {
                answer.reason = Some(reason);
                total = usage;
            }
            EventKind::Failed(error) => return Err(error),
        }
    }
    Ok((answers, total))
}

/// A request's answers from an engine that does nothing else meanwhile.
pub fn ask(engine: &Engine, request: &Request) -> (Vec<Answer>, Usage) {
    let stream = engine.submit(request.clone()).unwrap();
    answers(&stream, request.answers.count()).unwrap()
}

/// The answers of requests that are all there at once.
pub fn ask_together(engine: &Engine, requests: &[Request]) -> Vec<(Vec<Answer>, Usage)> {
    let streams: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    let counts = requests.iter().map(|request| request.answers.count());
    streams.iter().zip(counts).map(|(stream, count)| answers(stream, count).unwrap()).collect()
}

/// What each request is answered when it is alone in the world.
pub fn alone(requests: &[Request]) -> Vec<Vec<Answer>> {
    requests.iter().map(|request| ask(&engine(PLENTY), request).0).collect()
}

/// Token `index` of made-up text number `text`.
fn token(text: usize, index: usize) -> u32 {
    3 + ((text * 7919 + index * 104_729 + index * index) % (VOCAB as usize - 3)) as u32
}

/// A prompt: the beginning of one of a few texts, then tokens of its own.
pub fn prompt(text: usize, shared: usize, own: usize, length: usize) -> Vec<u32> {
    (0..shared).map(|index| token(text, index)).chain((0..length).map(|index| token(own, index))).collect()
}

fn samplings() -> impl Strategy<Value = SamplingSettings> {
    let greedy = Just(SamplingSettings::greedy());
    let plain = any::<u64>().prop_map(|seed| SamplingSettings { seed, ..SamplingSettings::plain(1.0) });
    let filtered = any::<u64>().prop_map(|seed| SamplingSettings {
        seed,
        top_k: 40,
        top_p: 0.9,
        min_p: 0.02,
        repetition_penalty: 1.2,
        frequency_penalty: 0.1,
        presence_penalty: 0.2,
        penalty_window: PenaltyWindow::Last(20),
        logit_bias: vec![(7, 3.0), (9, f32::NEG_INFINITY)],
        ..SamplingSettings::plain(0.8)
    });
    prop_oneof![greedy, plain, filtered]
}

/// Requests of all kinds, each with so many answers, some of which begin alike.
pub fn request(answers: Range<usize>) -> impl Strategy<Value = Request> {
    let prompts = (0_usize..3, prop_oneof![Just(0_usize), 16..100_usize], any::<u16>(), 1_usize..60)
        .prop_map(|(text, shared, own, length)| prompt(text, shared, 10 + usize::from(own), length));
    let logprobs = prop_oneof![Just(Logprobs::None), (0_usize..4).prop_map(Logprobs::Top)];
    (prompts, samplings(), 1_usize..24, logprobs, answers, any::<bool>()).prop_map(
        |(prompt, sampling, length, logprobs, answers, ends)| Request {
            sampling,
            max_tokens: NonZeroUsize::new(length),
            logprobs,
            answers: Answers::Sampled(NonZeroUsize::new(answers).unwrap()),
            ..Request::new(prompt, if ends { (0..VOCAB / 8).collect() } else { Vec::new() })
        },
    )
}
