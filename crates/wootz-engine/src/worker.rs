//! The engine's thread: takes requests in, runs steps, sends events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flume::{Receiver, Sender};
use wootz_backend::model::Model;

use crate::EngineError;
use crate::engine::SharedState;
use crate::event::{AnswerEvent, Event, EventKind};
use crate::request::{Request, RequestId};
use crate::scheduler::{Scheduler, UnderWay};
use crate::settings::EngineSettings;
use crate::stream::Command;

/// What the thread owns.
pub(crate) struct Worker {
    model: Box<dyn Model>,
    scheduler: Scheduler,
    callers: HashMap<RequestId, Caller>,
    state: Arc<SharedState>,
    /// Of the waiting requests that callers see counted, those that have arrived here.
    counted: usize,
    begun: Instant,
}

/// Where a request's events go.
struct Caller {
    events: Sender<AnswerEvent>,
    /// Answers that have not ended.
    open: usize,
}

/// Whether the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Work,
    End,
}

impl Worker {
    pub(crate) fn new(model: Box<dyn Model>, settings: &EngineSettings, state: Arc<SharedState>) -> Self {
        let scheduler = Scheduler::new(model.limits(), settings.sequences);
        state.room.store(scheduler.room(), Ordering::Release);
        Self { model, scheduler, callers: HashMap::new(), state, counted: 0, begun: Instant::now() }
    }

    /// Works until the engine is dropped.
    pub(crate) fn run(mut self, inbox: &Receiver<Command>) {
        while self.receive(inbox) == Next::Work {
            let events = if self.device_draws() { self.step_ahead() } else { self.step_alone() };
            self.send(events);
            self.publish();
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether the device can draw the tokens of everybody, so that steps may follow each other without a wait.
    fn device_draws(&mut self) -> bool {
        let Some(pipeline) = self.model.pipeline() else { return false };
        self.scheduler.asked().all(|(settings, logprobs)| pipeline.draws(settings, logprobs))
    }

    /// Keeps two steps under way, and takes in the older one: the device goes on with the other meanwhile.
    fn step_ahead(&mut self) -> Vec<Event> {
        let now = self.now();
        let Some(pipeline) = self.model.pipeline() else { return Vec::new() };
        while self.scheduler.under_way() < 2 {
            let Some(step) = self.scheduler.plan(now) else { break };
            if let Err(error) = pipeline.submit(&step, &self.scheduler.draws()) {
                return self.scheduler.fail(UnderWay::Newest, &EngineError::Backend(Arc::new(error)));
            }
        }
        self.collect()
    }

    /// One step whose logits come back before the next is planned.
    fn step_alone(&mut self) -> Vec<Event> {
        if self.scheduler.under_way() > 0 {
            return self.collect();
        }
        let now = self.now();
        let Some(step) = self.scheduler.plan(now) else { return Vec::new() };
        match self.model.forward(&step) {
            Ok(logits) => self.scheduler.apply(logits),
            Err(error) => self.scheduler.fail(UnderWay::Oldest, &EngineError::Backend(Arc::new(error))),
        }
    }

    /// Takes in the oldest step under way, if there is one.
    fn collect(&mut self) -> Vec<Event> {
        let Some(pipeline) = self.model.pipeline().filter(|_| self.scheduler.under_way() > 0) else {
            return Vec::new();
        };
        match pipeline.collect() {
            Ok(drawn) => self.scheduler.apply_drawn(&drawn),
            Err(error) => self.scheduler.fail(UnderWay::Oldest, &EngineError::Backend(Arc::new(error))),
        }
    }

    /// Takes in what callers have said, waiting only when there is nothing else to do.
    fn receive(&mut self, inbox: &Receiver<Command>) -> Next {
        if self.scheduler.is_idle() {
            let Ok(command) = inbox.recv() else { return Next::End };
            if self.heed(command) == Next::End {
                return Next::End;
            }
        }
        while let Ok(command) = inbox.try_recv() {
            if self.heed(command) == Next::End {
                return Next::End;
            }
        }
        Next::Work
    }

    fn heed(&mut self, command: Command) -> Next {
        match command {
            Command::Submit { id, request, events } => self.accept(id, *request, events),
            Command::Stop { id, answer } => {
                let events = self.scheduler.stop(id, answer);
                self.send(events);
            }
            Command::Cancel { id } => {
                self.scheduler.cancel(id);
                if self.callers.remove(&id).is_some() {
                    self.state.open.fetch_sub(1, Ordering::AcqRel);
                }
            }
            Command::End => return Next::End,
        }
        Next::Work
    }

    fn accept(&mut self, id: RequestId, request: Request, events: Sender<AnswerEvent>) {
        self.counted += 1;
        let open = request.answers.count();
        self.callers.insert(id, Caller { events, open });
        let now = self.now();
        if let Err(error) = self.scheduler.add(id, request, now) {
            let event = AnswerEvent { answer: 0, kind: EventKind::Failed(error) };
            self.send(vec![Event { request: id, event }]);
        }
    }

    fn send(&mut self, events: Vec<Event>) {
        for Event { request, event } in events {
            let Some(caller) = self.callers.get_mut(&request) else { continue };
            match event.kind {
                EventKind::Finished { .. } => caller.open -= 1,
                EventKind::Failed(_) => caller.open = 0,
                _ => {}
            }
            let over = caller.open == 0;
            if over {
                self.state.open.fetch_sub(1, Ordering::AcqRel);
            }
            // A caller that is gone says so by a command.
            let _ = caller.events.send(event);
            if over {
                self.callers.remove(&request);
            }
        }
    }

    /// Tells callers how many wait.
    fn publish(&mut self) {
        let waiting = self.scheduler.waiting();
        match waiting.checked_sub(self.counted) {
            Some(more) => self.state.waiting.fetch_add(more, Ordering::AcqRel),
            None => self.state.waiting.fetch_sub(self.counted - waiting, Ordering::AcqRel),
        };
        self.counted = waiting;
        self.state.room.store(self.scheduler.room(), Ordering::Release);
    }
}
