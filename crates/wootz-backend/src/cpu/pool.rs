//! A team of threads that walk a program together.
//!
//! The caller of [`Pool::run`] is thread 0; the others wait for it. Every thread runs the same body, which
//! splits the work between barriers by [`Worker::take`]. Waiting is by spinning for a short while, then by
//! giving the processor away; a team that has nothing to do sleeps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What every thread of the team runs.
pub type Body = dyn Fn(&Worker<'_>) -> Result<(), Stopped> + Send + Sync;

/// The team gave the step up: another thread panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Rounds of spinning at a barrier before the processor is given away (some 50 µs).
const SPINS: u32 = 1000;

/// How long an idle thread looks for the next step before it sleeps: longer than sampling a token takes.
const IDLE: Duration = Duration::from_micros(1500);

/// Keeps what different threads write in different cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// What the threads share.
#[derive(Debug, Default)]
struct Team {
    threads: usize,
    spins: u32,
    /// Threads that have reached the current barrier.
    arrived: Apart<AtomicUsize>,
    /// Barriers passed.
    passed: Apart<AtomicUsize>,
    /// The next piece of work since the last barrier.
    next: Apart<AtomicUsize>,
    /// Steps begun.
    begun: Apart<AtomicUsize>,
    /// Workers that have finished the step.
    finished: Apart<AtomicUsize>,
    stopped: AtomicBool,
    leaving: AtomicBool,
    /// The first panic of the step.
    failure: Mutex<Option<String>>,
    idle: Mutex<()>,
    wake: Condvar,
}

/// One thread's place in the team.
#[derive(Debug, Clone, Copy)]
pub struct Worker<'a> {
    /// From 0 to `threads`.
    pub index: usize,
    team: &'a Team,
}

impl Worker<'_> {
    /// Threads in the team.
    pub fn threads(&self) -> usize {
        self.team.threads
    }

    /// Waits until every thread is here. What they wrote before is visible after.
    pub fn barrier(&self) -> Result<(), Stopped> {
        let team = self.team;
        if team.threads == 1 {
            team.next.0.store(0, Ordering::Relaxed);
            return Ok(());
        }
        let passed = team.passed.0.load(Ordering::Relaxed);
        if team.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == team.threads {
            team.arrived.0.store(0, Ordering::Relaxed);
            team.next.0.store(0, Ordering::Relaxed);
            team.passed.0.store(passed.wrapping_add(1), Ordering::Release);
            return Ok(());
        }
        let mut waited = 0;
        while team.passed.0.load(Ordering::Acquire) == passed {
            if team.stopped.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            pause(&mut waited, team.spins);
        }
        Ok(())
    }

    /// The next `size` pieces of `total` that no thread has taken since the last barrier.
    pub fn take(&self, total: usize, size: usize) -> Option<std::ops::Range<usize>> {
        let start = self.team.next.0.fetch_add(size, Ordering::Relaxed);
        (start < total).then(|| start..(start + size).min(total))
    }
}

/// One round of waiting.
fn pause(waited: &mut u32, spins: u32) {
    if *waited < spins {
        *waited += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// The threads, and the body that they run in every step.
pub struct Pool {
    team: Arc<Team>,
    body: Arc<Body>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A team of `threads` (at least 1) with the caller as one of them.
    pub fn new(threads: usize, body: Arc<Body>) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let places = super::topology::cores();
        let spins = if threads <= super::topology::available() { SPINS } else { 0 };
        let team = Arc::new(Team { threads, spins, ..Team::default() });
        let mut pool = Self { team, body, workers: Vec::new() };
        for index in 1..threads {
            let (team, body) = (pool.team.clone(), pool.body.clone());
            let core = places.get(index).copied().filter(|_| threads <= places.len());
            let worker = std::thread::Builder::new().name(format!("wootz-{index}")).spawn(move || {
                if let Some(core) = core {
                    super::topology::pin(core);
                }
                serve(&team, index, &body);
            })?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads in the team.
    pub fn threads(&self) -> usize {
        self.team.threads
    }

    /// Runs the body on every thread; the message of the first panic, if one did.
    pub fn run(&mut self) -> Result<(), String> {
        let team = &*self.team;
        team.arrived.0.store(0, Ordering::Relaxed);
        team.next.0.store(0, Ordering::Relaxed);
        team.finished.0.store(0, Ordering::Relaxed);
        team.stopped.store(false, Ordering::Relaxed);
        team.begun.0.fetch_add(1, Ordering::Release);
        self.wake();
        work(team, 0, &self.body);
        let mut waited = 0;
        while team.finished.0.load(Ordering::Acquire) + 1 < team.threads {
            pause(&mut waited, team.spins);
        }
        match lock(&team.failure).take() {
            Some(message) => Err(message),
            None => Ok(()),
        }
    }

    fn wake(&self) {
        // Taking the lock orders this after a sleeper's last look at the count of steps.
        drop(lock(&self.team.idle));
        self.team.wake.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.team.leaving.store(true, Ordering::Release);
        self.wake();
        for worker in self.workers.drain(..) {
            // A worker catches panics of the body: joining it cannot fail.
            let _ = worker.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the body once; a panic stops the team and is kept as a message.
fn work(team: &Team, index: usize, body: &Arc<Body>) {
    let result = catch_unwind(AssertUnwindSafe(|| body(&Worker { index, team })));
    if let Err(panic) = result {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        lock(&team.failure).get_or_insert(text.unwrap_or_else(|| "a panic without a message".to_owned()));
        team.stopped.store(true, Ordering::Release);
    }
}

/// The life of a worker: a step after another until the pool is dropped.
fn serve(team: &Team, index: usize, body: &Arc<Body>) {
    let mut begun = 0;
    loop {
        let idle_since = Instant::now();
        let mut waited = 0;
        loop {
            if team.leaving.load(Ordering::Acquire) {
                return;
            }
            let now = team.begun.0.load(Ordering::Acquire);
            if now != begun {
                begun = now;
                break;
            }
            pause(&mut waited, team.spins);
            if waited == team.spins && idle_since.elapsed() > IDLE {
                sleep(team, begun);
            }
        }
        work(team, index, body);
        team.finished.0.fetch_add(1, Ordering::Release);
    }
}

/// Sleeps until a step begins or the pool is dropped.
fn sleep(team: &Team, begun: usize) {
    let mut guard = lock(&team.idle);
    while team.begun.0.load(Ordering::Acquire) == begun && !team.leaving.load(Ordering::Acquire) {
        guard = team.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_taken_once_in_every_phase() {
        for threads in [1, 2, 3, 5] {
            let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..100).map(|_| AtomicUsize::new(0)).collect());
            let seen = counts.clone();
            let body = move |worker: &Worker<'_>| {
                for phase in 0..50 {
                    while let Some(pieces) = worker.take(100, 7) {
                        for piece in pieces {
                            assert_eq!(seen[piece].fetch_add(1, Ordering::Relaxed) % 50, phase);
                        }
                    }
                    worker.barrier()?;
                }
                Ok(())
            };
            let mut pool = Pool::new(threads, Arc::new(body)).unwrap();
            for _ in 0..20 {
                pool.run().unwrap();
            }
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1000));
        }
    }

    #[test]
    fn a_panic_fails_its_step_and_not_the_next() {
        for failing in 0..3 {
            let step = Arc::new(AtomicUsize::new(0));
            let current = step.clone();
            let body = move |worker: &Worker<'_>| {
                worker.barrier()?;
                assert!(
                    current.load(Ordering::Relaxed) != 1 || worker.index != failing,
                    "thread {failing} broke"
                );
                worker.barrier()?;
                worker.barrier()
            };
            let mut pool = Pool::new(3, Arc::new(body)).unwrap();
            pool.run().unwrap();
            step.store(1, Ordering::Relaxed);
            let failure = pool.run().unwrap_err();
            assert!(failure.contains(&format!("thread {failing} broke")), "{failure}");
            step.store(2, Ordering::Relaxed);
            pool.run().unwrap();
        }
    }

    #[test]
    fn a_team_that_slept_wakes() {
        let mut pool = Pool::new(2, Arc::new(|worker: &Worker<'_>| worker.barrier())).unwrap();
        for _ in 0..3 {
            std::thread::sleep(IDLE * 4);
            pool.run().unwrap();
        }
    }
}
