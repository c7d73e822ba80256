//! The caller's end of a request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flume::{Receiver, RecvTimeoutError, Sender};

use crate::EngineError;
use crate::event::{AnswerEvent, EventKind};
use crate::request::{Request, RequestId};

/// What callers tell the engine's thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// A new request, and where its events go.
    Submit { id: RequestId, request: Box<Request>, events: Sender<AnswerEvent> },
    /// One answer is to end.
    Stop { id: RequestId, answer: usize },
    /// Nobody listens any more.
    Cancel { id: RequestId },
    /// A block has arrived from the disk.
    Wake,
    /// The engine is dropped.
    End,
}

/// The events of one request. Dropping it cancels what is left of the request before the next step.
#[derive(Debug)]
pub struct EventStream {
    id: RequestId,
    receiver: Receiver<AnswerEvent>,
    commands: Sender<Command>,
    /// Answers whose last event did not come yet.
    open: AtomicUsize,
}

impl EventStream {
    pub(crate) fn new(
        id: RequestId,
        answers: usize,
        receiver: Receiver<AnswerEvent>,
        commands: Sender<Command>,
    ) -> Self {
        Self { id, receiver, commands, open: AtomicUsize::new(answers) }
    }

    /// Waits for the next event; `None` when all answers have ended.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] when the engine has ended before the answers.
    pub fn next_event(&self) -> Result<Option<AnswerEvent>, EngineError> {
        if self.is_over() {
            return Ok(None);
        }
        self.receiver.recv().map(|event| Some(self.note(event))).map_err(|_| EngineError::Stopped)
    }

    /// Waits for the next event at most this long; `None` when none came, or all answers have ended
    /// ([`EventStream::is_over`]).
    ///
    /// # Errors
    /// As [`EventStream::next_event`].
    pub fn next_within(&self, wait: Duration) -> Result<Option<AnswerEvent>, EngineError> {
        if self.is_over() {
            return Ok(None);
        }
        match self.receiver.recv_timeout(wait) {
            Ok(event) => Ok(Some(self.note(event))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(EngineError::Stopped),
        }
    }

    /// [`EventStream::next_event`] without blocking the thread. Cancelling the future loses no event.
    ///
    /// # Errors
    /// As [`EventStream::next_event`].
    pub async fn recv(&self) -> Result<Option<AnswerEvent>, EngineError> {
        if self.is_over() {
            return Ok(None);
        }
        let event = self.receiver.recv_async().await.map_err(|_| EngineError::Stopped)?;
        Ok(Some(self.note(event)))
    }

    /// An event that is already there, without waiting for one.
    pub fn try_next(&self) -> Option<AnswerEvent> {
        self.receiver.try_recv().ok().map(|event| self.note(event))
    }

    /// Ends one answer: a stop string was found in it. Tokens that are on their way may still come before its
    /// [`EventKind::Finished`].
    pub fn stop(&self, answer: usize) {
        // An engine that is gone works on no answer.
        let _ = self.commands.send(Command::Stop { id: self.id, answer });
    }

    /// Whether the last event of every answer has come.
    pub fn is_over(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    fn note(&self, event: AnswerEvent) -> AnswerEvent {
        match event.kind {
            EventKind::Finished { .. } => drop(self.open.fetch_sub(1, Ordering::AcqRel)),
            EventKind::Failed(_) => self.open.store(0, Ordering::Release),
            _ => {}
        }
        event
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if !self.is_over() {
            // An engine that is gone needs no word.
            let _ = self.commands.send(Command::Cancel { id: self.id });
        }
    }
}
