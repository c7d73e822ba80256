//! Operating-system threads that run the threadgroups of a dispatch.
//!
//! The caller's own thread works too; helpers are started once and wait for the next dispatch. Each keeps its worker,
//! with its stacks, from one dispatch to the next.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use super::checks::Checker;
use super::counts::Counts;
use super::fault::FaultKind;
use super::mistake::Mistake;
use super::schedule::Shuffled;
use super::worker::{Plan, Worker};

/// One dispatch on its way through the workers.
pub struct Run {
    plan: Plan,
    order: Shuffled,
    total: u64,
    next: AtomicU64,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    helpers: usize,
    counts: Counts,
    mistake: Option<Found>,
}

/// A mistake and the number of the threadgroup that made it.
pub struct Found {
    pub mistake: Box<Mistake>,
    pub threadgroup: Option<u64>,
}

thread_local! {
    static WORKER: Cell<Option<Box<Worker>>> = const { Cell::new(None) };
}

/// Lends this thread's worker, which is made when it is first needed. A dispatch has one worker a thread.
fn with_worker<R>(work: impl FnOnce(&mut Worker) -> R) -> Result<R, Box<Mistake>> {
    let mut worker = match WORKER.take() {
        Some(worker) => worker,
        None => Box::new(Worker::new().map_err(|error| no_memory(&error))?),
    };
    let result = work(&mut worker);
    WORKER.set(Some(worker));
    Ok(result)
}

fn no_memory(error: &std::io::Error) -> Box<Mistake> {
    let text = format!("the system has no memory for a threadgroup's stacks: {error}");
    Mistake::new(FaultKind::Resources, text)
}

/// A lock that a panic elsewhere does not spoil: the state is only ever changed by one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    pub fn new(plan: Plan, order: Shuffled) -> Self {
        let total = plan.threadgroup_count();
        let (next, state, left) = (AtomicU64::new(0), Mutex::default(), Condvar::new());
        Self { plan, order, total, next, state, left }
    }

    /// Takes threadgroups until none is left or a mistake is found, and runs them on this thread's worker.
    fn work(&self) {
        let outcome = with_worker(|worker| {
            let found = self.work_with(worker);
            (found, worker.counts)
        });
        let (found, counts) = match outcome {
            Ok((found, counts)) => (found, counts),
            Err(mistake) => (Err(Found { mistake, threadgroup: None }), Counts::default()),
        };
        let mut state = lock(&self.state);
        state.counts += counts;
        if let Err(found) = found {
            self.next.store(self.total, Ordering::Relaxed);
            state.mistake.get_or_insert(found);
        }
    }

    fn work_with(&self, worker: &mut Worker) -> Result<(), Found> {
        worker.begin(&self.plan).map_err(|error| Found { mistake: no_memory(&error), threadgroup: None })?;
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            if place >= self.total {
                return Ok(());
            }
            let number = self.order.at(place);
            worker.run(&self.plan, number).map_err(|mistake| Found { mistake, threadgroup: Some(number) })?;
        }
    }

    /// What the workers did together, after the last of them has finished.
    pub fn outcome(&self) -> Result<Counts, Found> {
        let mut state = lock(&self.state);
        state.mistake.take().map_or(Ok(state.counts), Err)
    }
}

/// Threads that wait for a dispatch to help with.
struct Helpers {
    queue: Mutex<VecDeque<Arc<Run>>>,
    arrived: Condvar,
    count: usize,
}

static HELPERS: OnceLock<&'static Helpers> = OnceLock::new();

fn helpers() -> &'static Helpers {
    HELPERS.get_or_init(|| {
        let wanted = thread::available_parallelism().map_or(1, usize::from) - 1;
        let helpers: &'static Helpers =
            Box::leak(Box::new(Helpers { queue: Mutex::default(), arrived: Condvar::new(), count: wanted }));
        for _ in 0..wanted {
            // A thread that can't be started only leaves more for the others.
            let _ = thread::Builder::new().name("gpu-emulator".to_owned()).spawn(move || help(helpers));
        }
        helpers
    })
}

fn help(helpers: &'static Helpers) {
    loop {
        let mut queue = lock(&helpers.queue);
        let run = loop {
            match queue.pop_front() {
                Some(run) => break run,
                None => queue = helpers.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        // Counted while the queue is locked, so that the caller sees it as waiting or as helped, never neither.
        lock(&run.state).helpers += 1;
        drop(queue);
        run.work();
        lock(&run.state).helpers -= 1;
        run.left.notify_all();
    }
}

/// Runs a dispatch on up to `workers` threads, this one among them.
pub fn run(run: Run, workers: usize) -> Result<Counts, Found> {
    let run = Arc::new(run);
    let useful = usize::try_from(run.total).unwrap_or(usize::MAX).min(workers);
    let mut asked = None;
    if useful > 1 {
        let helpers = helpers();
        let tickets = (useful - 1).min(helpers.count);
        lock(&helpers.queue).extend((0..tickets).map(|_| Arc::clone(&run)));
        helpers.arrived.notify_all();
        asked = Some(helpers);
    }
    run.work();
    if let Some(helpers) = asked {
        lock(&helpers.queue).retain(|waiting| !Arc::ptr_eq(waiting, &run));
        let mut state = lock(&run.state);
        while state.helpers > 0 {
            state = run.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
    run.outcome()
}

/// Runs a dispatch with checks, on this thread alone: its accesses come in one order, that of the schedule.
pub fn run_checked(run: &Run, checker: Box<Checker>) -> Result<(Counts, Option<Box<Checker>>), Found> {
    let outcome = with_worker(|worker| {
        worker.checker = Some(checker);
        let found = run.work_with(worker);
        let checker = worker.checker.take();
        found.map(|()| (worker.counts, checker))
    });
    outcome.unwrap_or_else(|mistake| Err(Found { mistake, threadgroup: None }))
}
