//! Those who wait for answers, and what has become of their requests.

use std::time::Duration;

use flume::Sender;

use crate::event::{AnswerEvent, EventKind, FinishReason};
use crate::metrics::{AnswerClock, Outcome, Recorder};
use crate::request::Request;

/// Where a request's events go, and what has become of it.
pub(super) struct Caller {
    events: Sender<AnswerEvent>,
    /// Answers that have not ended.
    open: usize,
    began: Began,
    /// One an answer.
    clocks: Vec<AnswerClock>,
    reasons: Vec<FinishReason>,
}

/// Whether the scheduler took the request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Began {
    Yes,
    No,
}

impl Caller {
    /// The caller of a request that arrived now.
    pub(super) fn new(request: &Request, events: Sender<AnswerEvent>, now: Duration) -> Self {
        let open = request.answers.count();
        let clocks = vec![AnswerClock::new(now); open];
        Self { events, open, began: Began::No, clocks, reasons: Vec::new() }
    }

    /// The scheduler took the request in.
    pub(super) fn taken(&mut self) {
        self.began = Began::Yes;
    }

    /// Sends an event on, and counts what it says. The outcome of the request, if that was its last.
    pub(super) fn send(
        &mut self,
        event: AnswerEvent,
        now: Duration,
        recorder: &mut Recorder,
    ) -> Option<Outcome> {
        let outcome = self.note(&event, now, recorder);
        // A caller that is gone says so by a command.
        let _ = self.events.send(event);
        outcome
    }

    fn note(&mut self, event: &AnswerEvent, now: Duration, recorder: &mut Recorder) -> Option<Outcome> {
        match &event.kind {
            EventKind::Prompted { queued, .. } => recorder.started(*queued),
            EventKind::PromptLogprobs(_) => {}
            EventKind::Token(_) => {
                if let Some(clock) = self.clocks.get_mut(event.answer) {
                    recorder.token(clock, now);
                }
            }
            EventKind::Finished { reason, .. } => {
                self.reasons.push(*reason);
                self.open = self.open.saturating_sub(1);
                return (self.open == 0).then(|| Outcome::of(self.reasons.iter().copied()));
            }
            EventKind::Failed(_) => {
                return Some(if self.began == Began::Yes { Outcome::Failed } else { Outcome::Refused });
            }
        }
        None
    }
}
