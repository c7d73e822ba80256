//! What an engine has done so far, in exact counts, for those who watch it.
//!
//! The engine's thread owns a [`Recorder`] and adds to plain fields; once a step it copies the whole, about a kilobyte,
//! to where [`MetricsHandle::snapshot`] reads it.

mod histogram;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::event::FinishReason;

pub use histogram::Histogram;

use crate::disk::DiskStatistics;

/// The figures of an engine at one moment. Counts only ever grow; gauges say so.
#[derive(Debug, Clone)]
pub struct EngineMetrics {
    /// Requests, by what became of them.
    pub requests: RequestCounts,
    /// Tokens, by where they came from.
    pub tokens: TokenCounts,
    /// Gauge: answers that are worked on.
    pub running: u64,
    /// Gauge: requests that wait for their start, preempted ones among them.
    pub waiting: u64,
    /// Gauges of the key/value pool.
    pub pages: PageCounts,
    /// Look-ups in the prefix cache.
    pub prefix: PrefixCounts,
    /// What the disk tier has done, where there is one.
    pub disk: Option<DiskStatistics>,
    /// How many times a running request gave its pages up for another.
    pub preemptions: u64,
    /// Steps that failed on the device.
    pub step_failures: u64,
    /// Seconds spent on planning steps and on taking their results in, and nothing else: neither the device's, nor those
    /// below.
    pub scheduler_seconds: f64,
    /// Seconds spent on what the device did not do with its logits: waiting for masks, drawing tokens, log probabilities.
    pub sampling_seconds: f64,
    /// Seconds spent on copying pages between the pool and the disk tier.
    pub page_seconds: f64,
    /// Seconds that each step took, from its start on the device until its tokens were there.
    pub steps: Histogram,
    /// Seconds from a request's arrival to the first token of each of its answers.
    pub time_to_first_token: Histogram,
    /// Seconds between two tokens of an answer.
    pub inter_token: Histogram,
    /// Seconds from a request's arrival to its start.
    pub queued: Histogram,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            requests: RequestCounts::default(),
            tokens: TokenCounts::default(),
            running: 0,
            waiting: 0,
            pages: PageCounts::default(),
            prefix: PrefixCounts::default(),
            disk: None,
            preemptions: 0,
            step_failures: 0,
            scheduler_seconds: 0.0,
            sampling_seconds: 0.0,
            page_seconds: 0.0,
            steps: Histogram::of_steps(),
            time_to_first_token: Histogram::of_waits(),
            inter_token: Histogram::of_steps(),
            queued: Histogram::of_waits(),
        }
    }
}

/// Requests. Those that were received and have none of the other outcomes wait or run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// All that came, refused ones among them.
    pub received: u64,
    /// Refused before any work: the queue was full, or the request could never be served.
    pub refused: u64,
    /// The model ended every answer, or a stop string or a grammar did.
    pub stopped: u64,
    /// At least one answer reached the greatest length asked for, or the end of the context.
    pub length: u64,
    /// Nobody wanted the answer any more.
    pub cancelled: u64,
    /// Failed on the device or in sampling.
    pub failed: u64,
}

/// What became of a request in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// See [`RequestCounts::refused`].
    Refused,
    /// See [`RequestCounts::stopped`].
    Stopped,
    /// See [`RequestCounts::length`].
    Length,
    /// See [`RequestCounts::cancelled`].
    Cancelled,
    /// See [`RequestCounts::failed`].
    Failed,
}

impl Outcome {
    /// The outcome of a request whose answers ended so.
    pub fn of(reasons: impl IntoIterator<Item = FinishReason>) -> Self {
        let cut = |reason| matches!(reason, FinishReason::MaxTokens | FinishReason::ContextFull);
        if reasons.into_iter().any(cut) { Outcome::Length } else { Outcome::Stopped }
    }
}

/// Tokens. Every token of every prompt that started is computed or reused; what preemption made the engine compute
/// again is counted again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Prompt tokens that a step computed.
    pub prompt_computed: u64,
    /// Prompt tokens whose keys and values were in the prefix cache.
    pub prompt_reused_from_memory: u64,
    /// Prompt tokens whose keys and values came from the disk.
    pub prompt_reused_from_disk: u64,
    /// Tokens of answers, end tokens not among them.
    pub generated: u64,
    /// Tokens of predictions that were drawn, as foreseen.
    pub drafts_accepted: u64,
    /// Tokens of predictions that were computed in vain.
    pub drafts_rejected: u64,
}

/// The pages of the key/value pool: together all there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Hold nothing of worth.
    pub free: u64,
    /// Held by the prefix cache only: free as soon as somebody needs them.
    pub cached: u64,
    /// Held by requests.
    pub held: u64,
}

/// Blocks of prompts (a page of tokens each) that were looked up in the prefix cache when their request started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefixCounts {
    /// Found, in memory or on the disk.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
}

/// What the engine's thread was busy with, the device left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Planning steps, and taking their results in.
    pub scheduling: Duration,
    /// See [`EngineMetrics::sampling_seconds`].
    pub sampling: Duration,
    /// See [`EngineMetrics::page_seconds`].
    pub pages: Duration,
}

/// When the tokens of an answer came. The engine keeps one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerClock {
    arrived: Duration,
    last: Option<Duration>,
}

impl AnswerClock {
    /// The clock of an answer to a request that arrived then.
    pub fn new(arrived: Duration) -> Self {
        Self { arrived, last: None }
    }
}

/// The recording side, owned by the engine's thread.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The figures as they are now; plain counts and gauges are written here.
    pub figures: EngineMetrics,
    published: MetricsHandle,
}

impl Recorder {
    /// Where others read what is [published](Self::publish).
    pub fn handle(&self) -> MetricsHandle {
        self.published.clone()
    }

    /// A request started after so long.
    pub fn started(&mut self, queued: Duration) {
        self.figures.queued.add(queued);
    }

    /// An answer got its next token.
    pub fn token(&mut self, clock: &mut AnswerClock, now: Duration) {
        self.figures.tokens.generated += 1;
        match clock.last.replace(now) {
            None => self.figures.time_to_first_token.add(now.saturating_sub(clock.arrived)),
            Some(last) => self.figures.inter_token.add(now.saturating_sub(last)),
        }
    }

    /// A step is done.
    pub fn step(&mut self, took: Duration) {
        self.figures.steps.add(took);
    }

    /// The engine's thread worked for so long.
    pub fn worked(&mut self, work: Work) {
        self.figures.scheduler_seconds += work.scheduling.as_secs_f64();
        self.figures.sampling_seconds += work.sampling.as_secs_f64();
        self.figures.page_seconds += work.pages.as_secs_f64();
    }

    /// A request came.
    pub fn received(&mut self) {
        self.figures.requests.received += 1;
    }

    /// A request has ended.
    pub fn ended(&mut self, outcome: Outcome) {
        let requests = &mut self.figures.requests;
        *match outcome {
            Outcome::Refused => &mut requests.refused,
            Outcome::Stopped => &mut requests.stopped,
            Outcome::Length => &mut requests.length,
            Outcome::Cancelled => &mut requests.cancelled,
            Outcome::Failed => &mut requests.failed,
        } += 1;
    }

    /// Shows the figures to those who hold a handle.
    pub fn publish(&self) {
        let mut published = self.published.figures.lock().unwrap_or_else(PoisonError::into_inner);
        published.clone_from(&self.figures);
    }
}

/// The reading side: cheap to clone, good for any thread, and readable after the engine has ended.
#[derive(Debug, Clone, Default)]
pub struct MetricsHandle {
    /// Held only for as long as a copy takes.
    figures: Arc<Mutex<EngineMetrics>>,
}

impl MetricsHandle {
    /// The figures as of the last step.
    pub fn snapshot(&self) -> EngineMetrics {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_first_token_is_measured_from_the_arrival_and_others_from_the_one_before() {
        let mut recorder = Recorder::default();
        let mut clock = AnswerClock::new(milliseconds(100));
        for now in [350, 370, 400] {
            recorder.token(&mut clock, milliseconds(now));
        }
        let figures = &recorder.figures;
        assert_eq!(figures.tokens.generated, 3);
        assert_eq!((figures.time_to_first_token.count(), figures.inter_token.count()), (1, 2));
        assert!((figures.time_to_first_token.sum() - 0.25).abs() < 1e-9);
        assert!((figures.inter_token.sum() - 0.05).abs() < 1e-9);
    }

    #[test]
    fn others_see_what_was_published() {
        let mut recorder = Recorder::default();
        let handle = recorder.handle();
        recorder.received();
        recorder.ended(Outcome::Cancelled);
        recorder.step(milliseconds(12));
        assert_eq!(handle.snapshot().requests, RequestCounts::default());
        recorder.publish();
        let reader = std::thread::spawn(move || handle.snapshot());
        let seen = reader.join().expect("the reader ends");
        assert_eq!(seen.requests, RequestCounts { received: 1, cancelled: 1, ..Default::default() });
        assert_eq!(seen.steps.count(), 1);
    }
}
