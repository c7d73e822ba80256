//! The thread that computes masks while the device works.

use std::thread::JoinHandle;

use wootz_grammar::{GrammarError, TokenMask};

use super::state::GuideState;

/// A guide's state with room for its next mask: what travels to the worker and back.
#[derive(Debug, Clone)]
pub(super) struct Guided {
    pub(super) state: GuideState,
    pub(super) mask: TokenMask,
    /// Once computed: whether the mask restricts the next token.
    pub(super) next: Option<Result<bool, GrammarError>>,
}

impl Guided {
    pub(super) fn compute(&mut self) {
        self.next = Some(self.state.next(&mut self.mask));
    }
}

/// A helper thread of the engine that computes masks. Without it, masks are computed where they are needed.
#[derive(Debug)]
pub struct MaskWorker {
    jobs: Option<flume::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    guided: Box<Guided>,
    back: flume::Sender<Box<Guided>>,
}

impl MaskWorker {
    /// Starts the thread. Where none can be had, the worker declines all work.
    pub fn start() -> Self {
        let (jobs, inbox) = flume::unbounded::<Job>();
        let work = move || {
            for Job { mut guided, back } in inbox {
                guided.compute();
                // An answer that was cancelled meanwhile needs no mask.
                let _ = back.send(guided);
            }
        };
        let thread = std::thread::Builder::new().name("wootz-masks".into()).spawn(work).ok();
        Self { jobs: thread.is_some().then_some(jobs), thread }
    }

    /// Computes the next mask of `guided`, which comes back through the channel; gives it back if it cannot.
    pub(super) fn submit(&self, guided: Box<Guided>) -> Result<flume::Receiver<Box<Guided>>, Box<Guided>> {
        let Some(jobs) = &self.jobs else { return Err(guided) };
        let (back, receiver) = flume::bounded(1);
        match jobs.send(Job { guided, back }) {
            Ok(()) => Ok(receiver),
            Err(flume::SendError(job)) => Err(job.guided),
        }
    }
}

impl Drop for MaskWorker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has reached the answers that it concerned.
            let _ = thread.join();
        }
    }
}
