//! The thread's dealings with the device.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wootz_backend::BackendError;

use super::Worker;
use crate::EngineError;
use crate::contained::contained;
use crate::event::Event;
use crate::metrics::Recorder;
use crate::request::Request;
use crate::scheduler::{Drawing, Scheduler, UnderWay};

/// The steps that the device works on, and when.
#[derive(Debug, Default)]
pub(super) struct StepsUnderWay {
    /// When each was started, oldest first.
    started: VecDeque<Duration>,
    /// When the last step was done.
    done: Duration,
    /// How long the device was called for since the last look.
    device: Duration,
}

impl StepsUnderWay {
    /// How long calls of the device took since this was asked last.
    pub(super) fn take_device_time(&mut self) -> Duration {
        std::mem::take(&mut self.device)
    }

    /// The oldest step is done: notes how long the device took. It began when the step before was done, if this one had
    /// been submitted by then.
    fn finish(&mut self, now: Duration, recorder: &mut Recorder, scheduler: &mut Scheduler) {
        let before = std::mem::replace(&mut self.done, now);
        let Some(started) = self.started.pop_front() else { return };
        let took = now.saturating_sub(started.max(before));
        recorder.step(took);
        scheduler.took(took);
    }
}

impl Worker {
    /// Who can draw a request's tokens.
    pub(super) fn drawing(&mut self, request: &Request) -> Drawing {
        match self.model.pipeline() {
            Some(pipeline) if pipeline.draws(&request.sampling, request.logprobs) => Drawing::Device,
            _ => Drawing::Host,
        }
    }

    /// Whether the device can draw the tokens of everybody, so that steps may follow each other without a wait.
    pub(super) fn device_draws(&mut self) -> bool {
        !self.scheduler.needs_host() && self.model.pipeline().is_some()
    }

    /// Keeps two steps under way, and takes in the older one: the device goes on with the other meanwhile.
    pub(super) fn step_ahead(&mut self) -> Vec<Event> {
        while self.scheduler.under_way() < 2 {
            let Some(step) = self.scheduler.plan(self.begun.elapsed(), Drawing::Device) else { break };
            let at = self.begun.elapsed();
            self.under_way.started.push_back(at);
            let Some(pipeline) = self.model.pipeline() else { return Vec::new() };
            let draws = self.scheduler.draws();
            let submitted = guarded(|| pipeline.submit(&step, &draws));
            self.under_way.device += self.begun.elapsed().saturating_sub(at);
            if let Err(error) = submitted {
                return self.fail(UnderWay::Newest, error);
            }
        }
        self.collect()
    }

    /// One step whose logits come back before the next is planned.
    pub(super) fn step_alone(&mut self) -> Vec<Event> {
        if self.scheduler.under_way() > 0 {
            return self.collect();
        }
        let Some(step) = self.scheduler.plan(self.begun.elapsed(), Drawing::Host) else { return Vec::new() };
        let at = self.begun.elapsed();
        self.under_way.started.push_back(at);
        self.scheduler.prepare_masks(&self.masks);
        let model = &mut *self.model;
        let computed = guarded(move || model.forward(&step));
        let now = self.begun.elapsed();
        self.under_way.device += now.saturating_sub(at);
        match computed {
            Ok(logits) => {
                self.under_way.finish(now, &mut self.recorder, &mut self.scheduler);
                self.scheduler.apply(logits)
            }
            Err(error) => self.fail(UnderWay::Oldest, error),
        }
    }

    /// Takes in the oldest step under way, if there is one.
    fn collect(&mut self) -> Vec<Event> {
        let at = self.begun.elapsed();
        let Some(pipeline) = self.model.pipeline().filter(|_| self.scheduler.under_way() > 0) else {
            return Vec::new();
        };
        let collected = guarded(|| pipeline.collect());
        let now = self.begun.elapsed();
        self.under_way.device += now.saturating_sub(at);
        match collected {
            Ok(drawn) => {
                self.under_way.finish(now, &mut self.recorder, &mut self.scheduler);
                self.scheduler.apply_drawn(&drawn)
            }
            Err(error) => self.fail(UnderWay::Oldest, error),
        }
    }

    fn fail(&mut self, which: UnderWay, error: BackendError) -> Vec<Event> {
        match which {
            UnderWay::Oldest => self.under_way.started.pop_front(),
            UnderWay::Newest => self.under_way.started.pop_back(),
        };
        self.under_way.done = self.begun.elapsed();
        self.recorder.figures.step_failures += 1;
        self.scheduler.fail(which, &EngineError::Backend(Arc::new(error)))
    }

    /// Waits for the steps that the device still works on, whatever comes of them.
    pub(super) fn abandon_steps(&mut self) {
        let steps = std::mem::take(&mut self.under_way).started.len();
        let Some(pipeline) = self.model.pipeline() else { return };
        for _ in 0..steps {
            // Whether or not it had reached the device, nobody wants its result.
            let _ = guarded(|| pipeline.collect());
        }
    }
}

/// Calls the device. Its panic is its failure.
fn guarded<T>(call: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    contained(call).unwrap_or_else(|reason| Err(BackendError::Device { reason }))
}
