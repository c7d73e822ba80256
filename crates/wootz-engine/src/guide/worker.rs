//! The thread that computes masks while the device works.

use std::thread::JoinHandle;

use wootz_grammar::TokenMask;

use super::Followed;
use super::state::GuideState;
use crate::EngineError;
use crate::contained::contained;

/// A guide's state with room for its next mask: what travels to the worker and back.
#[derive(Debug, Clone)]
pub(super) struct Guided {
    pub(super) state: GuideState,
    pub(super) mask: TokenMask,
    /// Once computed: whether the mask restricts the next token.
    pub(super) next: Option<Result<bool, EngineError>>,
}

impl Guided {
    /// Computes the next mask. Whatever goes wrong, even by a panic, is an error of this answer.
    pub(super) fn compute(&mut self) {
        let computed = contained(|| self.state.next(&mut self.mask));
        self.next = Some(computed.map_err(mistake).and_then(|next| Ok(next?)));
    }

    /// Takes in a token, in the same way.
    pub(super) fn observe(&mut self, token: u32) -> Result<Followed, EngineError> {
        self.next = None;
        Ok(contained(|| self.state.observe(token)).map_err(mistake)??)
    }
}

fn mistake(reason: String) -> EngineError {
    EngineError::Guide { reason }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guided(state: GuideState) -> Box<Guided> {
        Box::new(Guided { state, mask: TokenMask::none(9), next: None })
    }

    #[test]
    fn a_panic_is_an_error_of_one_answer_and_the_thread_goes_on() {
        let worker = MaskWorker::start();
        let back: Vec<_> = [GuideState::broken(), GuideState::closing(7), GuideState::broken()]
            .map(|state| worker.submit(guided(state)).expect("the thread runs"))
            .into_iter()
            .map(|back| back.recv().expect("the thread goes on"))
            .collect();
        for broken in [&back[0], &back[2]] {
            let Some(Err(error)) = &broken.next else { panic!("it can't be computed") };
            assert!(matches!(error, EngineError::Guide { .. }), "{error}");
        }
        assert!(matches!(back[1].next, Some(Ok(true))));
        assert!(back[1].mask.tokens().eq([7]));
        let mut broken = guided(GuideState::broken());
        assert!(matches!(broken.observe(7), Err(EngineError::Guide { .. })));
    }
}
