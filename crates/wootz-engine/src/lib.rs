//! Requests become steps, steps become tokens: scheduling, sampling, text.
//!
//! A [`Request`] goes to the [`Engine`]'s thread, whose [`Scheduler`] plans [`Step`](wootz_backend::step::Step)s for
//! the model and turns their logits into [`Event`]s. The thread sees tokens only; [`StopFilter`] and the tokenizer's
//! streaming decoder work on the caller's side.
#![forbid(unsafe_code)]

mod beam;
mod block;
mod budget;
mod contained;
mod disk;
mod engine;
mod error;
mod event;
mod group;
mod guide;
mod metrics;
mod pages;
mod perplexity;
mod policy;
mod prediction;
mod prefix;
mod request;
mod sampler;
mod scheduler;
mod sequence;
mod settings;
mod stop;
mod stream;
mod worker;

pub use block::BlockKey;
pub use budget::{LEAST_ROWS, StepBudget, StepLoad, StepShape};
pub use disk::{
    DiskCache, DiskError, DiskSettings, DiskStatistics, NUMERICS_VERSION, Stored, default_disk_bytes,
    default_disk_folder, model_fingerprint,
};
pub use engine::Engine;
pub use error::EngineError;
pub use event::{AnswerEvent, Event, EventKind, FinishReason, Usage};
pub use guide::{AnswerGuide, Followed, Guide, MaskWorker, ReasoningGuide};
pub use metrics::{
    AnswerClock, EngineMetrics, Histogram, MetricsHandle, Outcome, PageCounts, PrefixCounts, Recorder,
    RequestCounts, TokenCounts, Work,
};
pub use perplexity::{Perplexity, PerplexityText, perplexity};
pub use policy::{
    AGEING, DEFAULT_HORIZON, GENERATED_WEIGHT, GREATEST_PRIORITY, LONGEST_HORIZON, PROMPT_WEIGHT, Policy,
    Running, Standing, UnknownPolicy, Waiting, WaitingQueue,
};
pub use prediction::{DraftCounts, Prediction};
pub use request::{Answers, BeamSearch, PrefixReuse, Request, RequestId, Scheduling, Tenant};
pub use sampler::{
    Logprobs, PenaltyWindow, Place, Sampled, SampledLogprobs, Sampler, SamplingSettings, TokenLogprob,
    validate,
};
pub use scheduler::{Counts, Drawing, Scheduler, UnderWay};
pub use settings::EngineSettings;
pub use stop::{Passed, StopFilter};
pub use stream::EventStream;
