//! The engine: one thread that owns the scheduler and the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use flume::Sender;
use wootz_backend::model::Model;

use crate::EngineError;
use crate::disk::{DiskCache, DiskSettings};
use crate::metrics::{EngineMetrics, MetricsHandle};
use crate::request::{Request, RequestId};
use crate::sampler::validate;
use crate::settings::EngineSettings;
use crate::stream::{Command, EventStream};
use crate::worker::Worker;

/// A running engine. Dropping it ends the thread after the step in flight.
#[derive(Debug)]
pub struct Engine {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    next_id: AtomicU64,
    queue: usize,
    vocab: usize,
    state: Arc<SharedState>,
    metrics: MetricsHandle,
    disk: Option<Arc<DiskCache>>,
}

/// What callers and the thread both look at.
#[derive(Debug, Default)]
pub(crate) struct SharedState {
    /// No new requests are taken.
    draining: AtomicBool,
    /// Requests that were submitted and do not run yet.
    pub(crate) waiting: AtomicUsize,
    /// Answers that could be worked on besides those that are.
    pub(crate) room: AtomicUsize,
    /// Requests that were submitted and have not ended.
    pub(crate) open: AtomicUsize,
    /// Requests that were refused before the thread saw them.
    refused: AtomicU64,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread, or the folder for pages can't be used.
    pub fn start(model: Box<dyn Model>, settings: EngineSettings) -> Result<Self, EngineError> {
        let (commands, inbox) = flume::unbounded();
        let state = Arc::new(SharedState::default());
        let (queue, vocab) = (settings.queue, model.limits().vocab);
        let wake = commands.clone();
        let open = |disk: &DiskSettings| {
            // An engine that is gone has no use for what arrives.
            let wake = move || drop(wake.send(Command::Wake));
            DiskCache::open(disk, model.cache().page_bytes(), wake).map(Arc::new)
        };
        let disk = settings.disk.as_ref().map(open).transpose()?;
        let worker = Worker::new(model, settings, Arc::clone(&state), disk.clone());
        let metrics = worker.metrics();
        let thread = std::thread::Builder::new()
            .name("wootz-engine".into())
            .spawn(move || worker.run(&inbox))
            .map_err(|_| EngineError::Stopped)?;
        Ok(Self {
            commands,
            thread: Some(thread),
            next_id: AtomicU64::new(0),
            queue,
            vocab,
            state,
            metrics,
            disk,
        })
    }

    /// Hands a request over.
    ///
    /// # Errors
    /// When the request makes no sense, too many wait already, or the engine is shutting down. What only the scheduler
    /// can know comes through the stream as [`EventKind::Failed`](crate::EventKind::Failed).
    pub fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        let submitted = self.hand_over(request);
        if submitted.is_err() {
            self.state.refused.fetch_add(1, Ordering::Relaxed);
        }
        submitted
    }

    /// What the engine has done so far, as of its last step.
    pub fn metrics(&self) -> EngineMetrics {
        let mut metrics = self.metrics.snapshot();
        metrics.disk = self.disk.as_ref().map(|disk| disk.statistics());
        let refused = self.state.refused.load(Ordering::Relaxed);
        metrics.requests.received += refused;
        metrics.requests.refused += refused;
        metrics.waiting = self.state.waiting.load(Ordering::Acquire) as u64;
        metrics
    }

    fn hand_over(&self, request: Request) -> Result<EventStream, EngineError> {
        if self.state.draining.load(Ordering::Acquire) {
            return Err(EngineError::Stopping);
        }
        validate(&request.sampling, self.vocab)?;
        let waiting = self.state.waiting.fetch_add(1, Ordering::AcqRel);
        // Those that have arrived this moment and will run at once are not in the way.
        let room = self.state.room.load(Ordering::Acquire);
        if waiting >= self.queue.saturating_add(room) {
            self.state.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(EngineError::QueueFull { waiting, limit: self.queue });
        }
        self.state.open.fetch_add(1, Ordering::AcqRel);
        let id = RequestId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (events, receiver) = flume::unbounded();
        let stream = EventStream::new(id, request.answers.count(), receiver, self.commands.clone());
        let submission = Command::Submit { id, request: Box::new(request), events };
        self.commands.send(submission).map_err(|_| EngineError::Stopped)?;
        Ok(stream)
    }

    /// Refuses new requests from now on; those that were taken are answered.
    pub fn drain(&self) {
        self.state.draining.store(true, Ordering::Release);
    }

    /// Whether every request that was taken has ended.
    pub fn is_idle(&self) -> bool {
        self.state.open.load(Ordering::Acquire) == 0
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A thread that is gone needs no word.
        let _ = self.commands.send(Command::End);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has reached its callers as `Stopped`.
            let _ = thread.join();
        }
    }
}
