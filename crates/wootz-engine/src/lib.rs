//! Requests become steps, steps become tokens: scheduling, sampling, text.
//!
//! A [`Request`] goes to the [`Engine`]'s thread, whose [`Scheduler`] plans [`Step`](wootz_backend::step::Step)s for
//! the model and turns their logits into [`Event`]s. The thread sees tokens only; [`StopFilter`] and the tokenizer's
//! streaming decoder work on the caller's side.
#![forbid(unsafe_code)]

mod engine;
mod error;
mod event;
mod pages;
mod perplexity;
mod request;
mod sampler;
mod scheduler;
mod sequence;
mod stop;

pub use engine::{Engine, EventStream};
pub use error::EngineError;
pub use event::{Event, EventKind, FinishReason, Usage};
pub use pages::{Page, PagePool, Taken};
pub use perplexity::{Perplexity, PerplexityText, perplexity};
pub use request::{Request, RequestId};
pub use sampler::{
    Logprobs, PenaltyWindow, Place, Sampled, SampledLogprobs, Sampler, SamplingSettings, TokenLogprob,
    validate,
};
pub use scheduler::{Scheduler, UnderWay};
pub use stop::{Passed, StopFilter};
