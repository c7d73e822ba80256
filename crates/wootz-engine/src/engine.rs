//! The engine: one thread that owns the scheduler and the model.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wootz_backend::model::Model;

use crate::EngineError;
use crate::event::{Event, EventKind};
use crate::request::{Request, RequestId};
use crate::scheduler::{Scheduler, UnderWay};

/// A running engine. Dropping it ends the thread after the step in flight.
#[derive(Debug)]
pub struct Engine {
    submissions: Option<Sender<Submission>>,
    thread: Option<JoinHandle<()>>,
}

/// A request on its way to the thread, and the way back.
#[derive(Debug)]
struct Submission {
    request: Request,
    caller: Caller,
}

/// Where a request's events go.
#[derive(Debug)]
struct Caller {
    events: Sender<EventKind>,
    gone: Arc<AtomicBool>,
}

impl Engine {
    /// Starts the thread; it runs at most `sequences` requests together.
    pub fn start(model: Box<dyn Model>, sequences: usize) -> Result<Self, EngineError> {
        let (submissions, inbox) = channel();
        let body = move || Worker::new(model, sequences).run(&inbox);
        let thread = std::thread::Builder::new()
            .name("wootz-engine".into())
            .spawn(body)
            .map_err(|_| EngineError::Stopped)?;
        Ok(Self { submissions: Some(submissions), thread: Some(thread) })
    }

    /// Hands a request over. What becomes of it, refusals too, comes through the stream.
    pub fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        let (events, receiver) = channel();
        let gone = Arc::new(AtomicBool::new(false));
        let caller = Caller { events, gone: Arc::clone(&gone) };
        let submissions = self.submissions.as_ref().ok_or(EngineError::Stopped)?;
        submissions.send(Submission { request, caller }).map_err(|_| EngineError::Stopped)?;
        Ok(EventStream { receiver, gone })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.submissions = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has reached its callers as `Stopped`.
            let _ = thread.join();
        }
    }
}

/// The events of one request. Dropping it cancels the request before the next step.
#[derive(Debug)]
pub struct EventStream {
    receiver: Receiver<EventKind>,
    gone: Arc<AtomicBool>,
}

impl EventStream {
    /// Waits for the next event.
    pub fn next_event(&self) -> Result<EventKind, EngineError> {
        self.receiver.recv().map_err(|_| EngineError::Stopped)
    }

    /// Waits for the next event at most this long; `None` when none came.
    pub fn next_within(&self, wait: Duration) -> Result<Option<EventKind>, EngineError> {
        match self.receiver.recv_timeout(wait) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(EngineError::Stopped),
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// What the thread owns.
struct Worker {
    model: Box<dyn Model>,
    scheduler: Scheduler,
    callers: HashMap<RequestId, Caller>,
    next_id: u64,
}

impl Worker {
    fn new(model: Box<dyn Model>, sequences: usize) -> Self {
        let scheduler = Scheduler::new(model.limits(), sequences);
        Self { model, scheduler, callers: HashMap::new(), next_id: 0 }
    }

    /// Works until nobody can submit any more.
    fn run(&mut self, inbox: &Receiver<Submission>) {
        while self.receive(inbox) {
            self.drop_cancelled();
            let events = if self.device_draws() { self.step_ahead() } else { self.step_alone() };
            for event in events {
                self.send(event);
            }
        }
    }

    /// Whether the device can draw the tokens of everybody, so that steps may follow each other without a wait.
    fn device_draws(&mut self) -> bool {
        let Some(pipeline) = self.model.pipeline() else { return false };
        self.scheduler.asked().all(|(settings, logprobs)| pipeline.draws(settings, logprobs))
    }

    /// Keeps two steps under way, and takes in the older one: the device goes on with the other meanwhile.
    fn step_ahead(&mut self) -> Vec<Event> {
        let Some(pipeline) = self.model.pipeline() else { return Vec::new() };
        while self.scheduler.under_way() < 2 {
            let Some(step) = self.scheduler.plan() else { break };
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
        let Some(step) = self.scheduler.plan() else { return Vec::new() };
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

    /// Takes in what has been submitted, waiting only when there is nothing else to do. False: the end.
    fn receive(&mut self, inbox: &Receiver<Submission>) -> bool {
        if self.scheduler.is_idle() {
            match inbox.recv() {
                Ok(submission) => self.accept(submission),
                Err(_) => return false,
            }
        }
        loop {
            match inbox.try_recv() {
                Ok(submission) => self.accept(submission),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn accept(&mut self, Submission { request, caller }: Submission) {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        match self.scheduler.add(id, request) {
            Ok(()) => {
                self.callers.insert(id, caller);
            }
            // A caller that is gone already needs no answer.
            Err(error) => drop(caller.events.send(EventKind::Failed(error))),
        }
    }

    fn drop_cancelled(&mut self) {
        let scheduler = &mut self.scheduler;
        self.callers.retain(|&id, caller| {
            let gone = caller.gone.load(Ordering::Relaxed);
            if gone {
                scheduler.cancel(id);
            }
            !gone
        });
    }

    fn send(&mut self, Event { request, kind }: Event) {
        let last = matches!(kind, EventKind::Finished { .. } | EventKind::Failed(_));
        if let Some(caller) = self.callers.get(&request) {
            // A caller that is gone is found by its flag before the next step.
            let _ = caller.events.send(kind);
        }
        if last {
            self.callers.remove(&request);
        }
    }
}
