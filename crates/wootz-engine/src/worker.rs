//! The engine's thread: takes requests in, runs steps, sends events.
//!
//! A device that fails, even by a panic, costs the requests of that step. A panic of the scheduler costs the requests
//! that it had: the thread goes on with a new one.

mod caller;
mod steps;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flume::{Receiver, Sender};
use wootz_backend::model::Model;

use crate::EngineError;
use crate::contained::contained;
use crate::disk::DiskCache;
use crate::engine::SharedState;
use crate::event::{AnswerEvent, Event, EventKind};
use crate::guide::MaskWorker;
use crate::metrics::{MetricsHandle, Outcome, Recorder, TokenCounts, Work};
use crate::request::{Request, RequestId};
use crate::scheduler::Scheduler;
use crate::settings::EngineSettings;
use crate::stream::Command;

use caller::Caller;
use steps::StepsUnderWay;

/// What the thread owns.
pub(crate) struct Worker {
    model: Box<dyn Model>,
    settings: EngineSettings,
    scheduler: Scheduler,
    callers: HashMap<RequestId, Caller>,
    state: Arc<SharedState>,
    /// Of the waiting requests that callers see counted, those that have arrived here.
    counted: usize,
    begun: Instant,
    recorder: Recorder,
    under_way: StepsUnderWay,
    masks: MaskWorker,
    disk: Option<Arc<DiskCache>>,
    /// The last turn found nothing to compute: there is nothing to do before somebody says so.
    stuck: bool,
}

/// Whether the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Work,
    End,
}

impl Worker {
    pub(crate) fn new(
        model: Box<dyn Model>,
        settings: EngineSettings,
        state: Arc<SharedState>,
        disk: Option<Arc<DiskCache>>,
    ) -> Self {
        let scheduler = scheduler(&*model, &settings, disk.as_ref());
        state.room.store(scheduler.room(), Ordering::Release);
        Self {
            model,
            settings,
            scheduler,
            callers: HashMap::new(),
            state,
            counted: 0,
            begun: Instant::now(),
            recorder: Recorder::default(),
            under_way: StepsUnderWay::default(),
            masks: MaskWorker::start(),
            disk,
            stuck: false,
        }
    }

    /// Where the thread's figures can be read.
    pub(crate) fn metrics(&self) -> MetricsHandle {
        self.recorder.handle()
    }

    /// Works until the engine is dropped.
    pub(crate) fn run(mut self, inbox: &Receiver<Command>) {
        self.publish();
        loop {
            match contained(|| self.turn(inbox)) {
                Ok(Next::Work) => {}
                Ok(Next::End) => return,
                Err(reason) => self.begin_anew(reason),
            }
        }
    }

    /// Takes in what callers have said, and works on a step.
    fn turn(&mut self, inbox: &Receiver<Command>) -> Next {
        if self.receive(inbox) == Next::End {
            return Next::End;
        }
        let (begun, mut pages) = (self.now(), Duration::ZERO);
        let sampling = self.scheduler.counts().sampling;
        let arrivals = self.scheduler.has_arrivals();
        if arrivals && self.scheduler.under_way() == 0 {
            self.scheduler.restore(&mut *self.model);
            pages += self.now() - begun;
        }
        let ahead = self.device_draws() && !(arrivals && self.scheduler.under_way() > 0);
        let steps = self.scheduler.steps_planned();
        let under_way = self.scheduler.under_way();
        let events = if ahead { self.step_ahead() } else { self.step_alone() };
        self.stuck = under_way == 0 && self.scheduler.steps_planned() == steps;
        let results_in = self.now();
        self.scheduler.store(&mut *self.model);
        pages += self.now() - results_in;
        self.send(events);
        self.publish();
        let sampling = self.scheduler.counts().sampling - sampling;
        let elsewhere = self.under_way.take_device_time() + sampling + pages;
        let scheduling = self.now().saturating_sub(begun + elsewhere);
        self.recorder.worked(Work { scheduling, sampling, pages });
        Next::Work
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes in what callers have said, waiting only when there is nothing else to do.
    fn receive(&mut self, inbox: &Receiver<Command>) -> Next {
        if self.scheduler.is_idle() || self.stuck {
            self.stuck = false;
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
                    self.ended(Outcome::Cancelled);
                }
            }
            Command::Wake => {}
            Command::End => return Next::End,
        }
        Next::Work
    }

    fn accept(&mut self, id: RequestId, request: Request, events: Sender<AnswerEvent>) {
        self.counted += 1;
        self.recorder.received();
        let now = self.now();
        let mut caller = Caller::new(&request, events, now);
        let drawing = self.drawing(&request);
        let taken = self.scheduler.add(id, request, drawing, now);
        if taken.is_ok() {
            caller.taken();
        }
        self.callers.insert(id, caller);
        if let Err(error) = taken {
            self.send(vec![failed(id, error)]);
        }
    }

    fn send(&mut self, events: Vec<Event>) {
        let now = self.now();
        for Event { request, event } in events {
            let Some(caller) = self.callers.get_mut(&request) else { continue };
            if let Some(outcome) = caller.send(event, now, &mut self.recorder) {
                self.callers.remove(&request);
                self.ended(outcome);
            }
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        self.recorder.ended(outcome);
        self.state.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Tells callers how many wait, and the rest of the figures.
    fn publish(&mut self) {
        let waiting = self.scheduler.waiting();
        match waiting.checked_sub(self.counted) {
            Some(more) => self.state.waiting.fetch_add(more, Ordering::AcqRel),
            None => self.state.waiting.fetch_sub(self.counted - waiting, Ordering::AcqRel),
        };
        self.counted = waiting;
        self.state.room.store(self.scheduler.room(), Ordering::Release);
        let figures = &mut self.recorder.figures;
        figures.waiting = waiting as u64;
        figures.running = self.scheduler.running() as u64;
        figures.pages = self.scheduler.pages();
        let counts = self.scheduler.counts();
        let generated = figures.tokens.generated;
        figures.tokens = TokenCounts { generated, ..counts.tokens };
        (figures.prefix, figures.preemptions) = (counts.prefix, counts.preemptions);
        self.recorder.publish();
    }

    /// Goes on with a new scheduler after a mistake of the old one: what it had is lost.
    fn begin_anew(&mut self, reason: String) {
        self.abandon_steps();
        let counts = *self.scheduler.counts();
        self.scheduler = scheduler(&*self.model, &self.settings, self.disk.as_ref()).counting_from(counts);
        let error = EngineError::Internal { reason };
        let events = self.callers.keys().map(|&id| failed(id, error.clone())).collect();
        self.send(events);
        self.publish();
    }
}

fn scheduler(model: &dyn Model, settings: &EngineSettings, disk: Option<&Arc<DiskCache>>) -> Scheduler {
    let scheduler = Scheduler::new(model.limits(), settings);
    match disk {
        Some(disk) => scheduler.with_disk(Arc::clone(disk)),
        None => scheduler,
    }
}

fn failed(request: RequestId, error: EngineError) -> Event {
    Event { request, event: AnswerEvent { answer: 0, kind: EventKind::Failed(error) } }
}
