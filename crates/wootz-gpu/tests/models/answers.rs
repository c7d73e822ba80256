//! The engine over a device: steps follow each other without a wait, tokens are drawn on the device, and the answers are
//! those of a host that waits for each step's logits and draws itself.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wootz_backend::cache::CacheShape;
use wootz_backend::step::{Step, StepLimits};
use wootz_backend::{BackendError, Model};
use wootz_engine::{
    Engine, EngineError, EngineSettings, EventKind, FinishReason, Logprobs, PenaltyWindow, Request, Sampled,
    SamplingSettings,
};
use wootz_gpu::model::GpuModel;
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;

use super::fixture::{Expected, load};
use super::whole::Open;
use super::wrapped::{Fails, Wrapped};

/// A model whose device does not draw.
struct WithoutPipeline(GpuModel);

impl Model for WithoutPipeline {
    fn spec(&self) -> &ModelSpec {
        self.0.spec()
    }
    fn cache(&self) -> CacheShape {
        self.0.cache()
    }
    fn limits(&self) -> StepLimits {
        self.0.limits()
    }
    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        self.0.forward(step)
    }
    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.0.read_page(page, bytes)
    }
    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.0.write_page(page, bytes)
    }
}

pub fn request(prompt: &[u32], sampling: SamplingSettings, logprobs: Logprobs) -> Request {
    let max_tokens = NonZeroUsize::new(12);
    Request { sampling, max_tokens, logprobs, ..Request::new(prompt.to_vec(), Vec::new()) }
}

pub fn settings() -> EngineSettings {
    EngineSettings { sequences: 4, ..EngineSettings::default() }
}

/// Requests of several lengths and all kinds of sampling.
pub fn requests(prompt: &[u32]) -> Vec<Request> {
    let top = |count| Logprobs::Top(count);
    let penalised = SamplingSettings {
        repetition_penalty: 1.3,
        presence_penalty: 0.4,
        penalty_window: PenaltyWindow::Last(4),
        logit_bias: vec![(3, 2.0), (5, f32::NEG_INFINITY)],
        seed: 11,
        ..SamplingSettings::plain(1.1)
    };
    let filtered = SamplingSettings { seed: 7, ..SamplingSettings::default() };
    vec![
        request(prompt, SamplingSettings::greedy(), Logprobs::None),
        request(&prompt[..3], filtered.clone(), top(3)),
        request(&prompt[5..20], penalised.clone(), Logprobs::None),
        request(&prompt[..1], penalised, top(2)),
        request(&prompt[9..11], SamplingSettings { seed: 3, ..filtered }, Logprobs::None),
    ]
}

/// The answer to each request, all submitted at once.
pub fn answers(model: Box<dyn Model>, requests: &[Request]) -> Vec<Result<Vec<Sampled>, EngineError>> {
    let engine = Engine::start(model, settings()).unwrap();
    let streams: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    let answer = |stream: wootz_engine::EventStream| {
        let mut tokens = Vec::new();
        loop {
            match stream.next_event()?.expect("a last event").kind {
                EventKind::Prompted { .. } | EventKind::PromptLogprobs(_) => {}
                EventKind::Token(token) => tokens.push(token),
                EventKind::Finished { reason, .. } => {
                    assert_eq!(reason, FinishReason::MaxTokens);
                    return Ok(tokens);
                }
                EventKind::Failed(error) => return Err(error),
            }
        }
    };
    streams.into_iter().map(answer).collect()
}

/// The device adds up probabilities in another order than the host, so log probabilities may differ in the last bits.
fn assert_alike(found: &[Sampled], expected: &[Sampled], which: usize) {
    let ids = |answer: &[Sampled]| answer.iter().map(|sampled| sampled.token).collect::<Vec<u32>>();
    assert_eq!(ids(found), ids(expected), "request {which}");
    for (found, expected) in found.iter().zip(expected) {
        let (Some(found), Some(expected)) = (&found.logprobs, &expected.logprobs) else {
            assert_eq!(found.logprobs.is_some(), expected.logprobs.is_some(), "request {which}");
            continue;
        };
        assert!((found.chosen - expected.chosen).abs() < 1e-4, "request {which}");
        assert_eq!(found.top.len(), expected.top.len(), "request {which}");
        for (found, expected) in found.top.iter().zip(&expected.top) {
            assert_eq!(found.token, expected.token, "request {which}");
            assert!((found.logprob - expected.logprob).abs() < 1e-4, "request {which}");
        }
    }
}

/// Steps without a wait give the answers of steps with one.
pub fn steps_need_no_wait(folder: &Path, open: Open<'_>) {
    let requests = requests(&Expected::read(folder).prompt);
    let model = || {
        let device = Wrapped::around(open(), Arc::default(), Fails::AtOnce);
        let most = device.most.clone();
        (load(folder, Box::new(device), Answers::Reproducible), most)
    };
    let (alone, most) = model();
    let waited = answers(Box::new(WithoutPipeline(alone)), &requests);
    assert_eq!(most.load(Ordering::Relaxed), 1);
    let (together, most) = model();
    let piped = answers(Box::new(together), &requests);
    assert_eq!(most.load(Ordering::Relaxed), 2, "steps under way together");
    for (which, (found, expected)) in piped.into_iter().zip(waited).enumerate() {
        assert_alike(&found.unwrap(), &expected.unwrap(), which);
    }
}
