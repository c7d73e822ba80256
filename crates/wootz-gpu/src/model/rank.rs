//! A rank of a model that several devices compute together: a thread that owns a device and what of the model is on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use wootz_backend::BackendError;

use super::GpuModel;
use crate::collective::Group;

/// Whether the ranks still work together. The first that fails ends that for all, since the others would wait for it.
pub struct Health {
    group: Arc<dyn Group>,
    failure: Mutex<Option<String>>,
}

impl Health {
    /// Of a group in which nothing has failed.
    pub fn new(group: Arc<dyn Group>) -> Self {
        Self { group, failure: Mutex::new(None) }
    }

    /// Ends the group's work. Of several reasons the first is kept: the others follow from it.
    pub fn fail(&self, reason: impl Into<String>) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.into());
        self.group.abandon();
    }

    /// # Errors
    /// Why the ranks don't work together any longer.
    pub fn check(&self) -> Result<(), BackendError> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(reason) => Err(BackendError::Device {
                reason: format!("{reason}; the GPUs no longer work together until the model is loaded again"),
            }),
        }
    }
}

type Job = Box<dyn FnOnce(&mut GpuModel) + Send>;

/// The thread of one rank. It ends with its owner.
pub struct Rank {
    /// For messages.
    name: String,
    health: Arc<Health>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What a job will have given.
pub struct Answer<T>(Receiver<Result<T, BackendError>>);

impl<T> Answer<T> {
    /// Waits for it.
    pub fn wait(self) -> Result<T, BackendError> {
        let ended = |_| BackendError::Device { reason: "a GPU's thread has ended".to_owned() };
        self.0.recv().map_err(ended).flatten()
    }
}

impl Rank {
    /// Starts a thread, and loads what it works on there.
    ///
    /// # Errors
    /// When there is no thread to be had. How loading ends is in the answer.
    pub fn start(
        name: String,
        health: Arc<Health>,
        load: impl FnOnce() -> Result<GpuModel, BackendError> + Send + 'static,
    ) -> Result<(Rank, Answer<()>), BackendError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (send, answer) = mpsc::channel();
        let (who, company) = (name.clone(), health.clone());
        let work = move || {
            let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|panic| {
                Err(BackendError::Load { reason: format!("{who}: {}", words(panic.as_ref())) })
            });
            let (loaded, model) = match loaded {
                Ok(model) => (Ok(()), Some(model)),
                Err(error) => {
                    company.fail(format!("{who}: {error}"));
                    (Err(error), None)
                }
            };
            // Nobody listens when another rank could not be loaded.
            let _ = send.send(loaded);
            if let Some(mut model) = model {
                queue.into_iter().for_each(|job| job(&mut model));
            }
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(work);
        let thread =
            thread.map_err(|error| BackendError::Load { reason: format!("no thread for a GPU: {error}") })?;
        Ok((Rank { name, health, jobs: Some(jobs), thread: Some(thread) }, Answer(answer)))
    }

    /// Has the thread do something after all that it was asked before. What fails ends the work of all ranks; from then on
    /// nothing is done.
    pub fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut GpuModel) -> Result<T, BackendError> + Send + 'static,
    ) -> Answer<T> {
        let (send, answer) = mpsc::channel();
        let (name, health) = (self.name.clone(), self.health.clone());
        let job = move |model: &mut GpuModel| {
            let done = health.check().and_then(|()| {
                let done = catch_unwind(AssertUnwindSafe(|| work(model)))
                    .unwrap_or_else(|panic| Err(BackendError::Device { reason: words(panic.as_ref()) }));
                done.inspect_err(|error| health.fail(format!("{name}: {error}")))
            });
            // Whoever does not wait for the answer finds a failure with the next question.
            let _ = send.send(done);
        };
        if let Some(jobs) = &self.jobs {
            // A thread that has ended has dropped the sender of the answer, or does so now.
            let _ = jobs.send(Box::new(job));
        }
        Answer(answer)
    }
}

impl Drop for Rank {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panics were caught where they happened.
            let _ = thread.join();
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without words"))
}
