//! Sends the requests of a plan when they are due, and keeps what happened.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::exchange::{Exchange, Heard, since};
use crate::plan::{Pace, Plan, PlannedRequest, Turn};
use crate::record::{Outcome, Part, Record};

/// What a run gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// The requests that were sent, in the order of the plan; one that came beside them is last.
    pub records: Vec<Record>,
    /// From the start to the end of the last.
    pub took: Duration,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Requests that ended.
    pub ended: usize,
    /// Requests that are under way.
    pub running: usize,
    /// Pieces of answers that came.
    pub pieces: u64,
}

/// Pieces after which an answer counts as flowing. What came until then is what it is like without a long prompt.
const FLOWING: u32 = 64;

/// Runs a plan. It ends early, with what there is, when `stop` becomes true.
pub async fn drive<E: Exchange>(
    plan: &Plan,
    exchange: &E,
    stop: &watch::Receiver<bool>,
    progress: &dyn Fn(Progress),
) -> Run {
    let driver = Driver {
        exchange,
        stop,
        progress,
        start: Instant::now(),
        tally: Tally::default(),
        records: RefCell::default(),
    };
    let plain = async {
        match &plan.pace {
            Pace::Closed { streams } => driver.closed(&plan.requests, *streams).await,
            Pace::Open(times) => driver.open(&plan.requests, times).await,
        }
        driver.tally.over.set(true);
        driver.tally.changed.notify_waiters();
    };
    let wanted = match plan.pace {
        Pace::Closed { streams } => streams.min(plan.requests.len()),
        Pace::Open(_) => 1,
    };
    tokio::join!(plain, driver.beside(plan.beside.as_ref(), wanted, plan.requests.len()));
    let mut records = driver.records.into_inner();
    records.sort_by_key(|record| record.index);
    let took = records.iter().map(|record| record.ended).max().unwrap_or_default();
    Run { records, took }
}

/// What all requests of a run share.
struct Driver<'a, E> {
    exchange: &'a E,
    stop: &'a watch::Receiver<bool>,
    progress: &'a dyn Fn(Progress),
    start: Instant,
    tally: Tally,
    records: RefCell<Vec<Record>>,
}

/// Counts of what is going on.
#[derive(Debug, Default)]
struct Tally {
    ended: Cell<usize>,
    running: Cell<usize>,
    pieces: Cell<u64>,
    /// Answers under way of which several pieces have come.
    flowing: Cell<usize>,
    /// Whether all requests of the plan have ended.
    over: Cell<bool>,
    /// How far the long prompt is.
    long: Cell<LongPrompt>,
    /// Told when `flowing`, `over` or `long` changes.
    changed: Notify,
}

/// How far the long prompt beside the streams is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LongPrompt {
    /// There is none, or its time has not come.
    #[default]
    ToCome,
    /// It is being answered: streams that end have others after them.
    UnderWay,
    /// It is answered: nothing more is wanted of the streams.
    Answered,
}

/// Changes a count by so many.
fn add(count: &Cell<usize>, by: isize) {
    count.set(count.get().saturating_add_signed(by));
}

impl<E: Exchange> Driver<'_, E> {
    async fn closed(&self, requests: &[PlannedRequest], streams: usize) {
        let next = Cell::new(0);
        let stream = || async {
            while let Some(index) = self.next_index(requests.len(), &next) {
                self.send(index, &requests[index], Instant::now()).await;
            }
        };
        join_all((0..streams).map(|_| stream())).await;
    }

    /// Which request a stream sends next. While a long prompt is under way, they begin again when all were sent.
    fn next_index(&self, requests: usize, next: &Cell<usize>) -> Option<usize> {
        let long = self.tally.long.get();
        if *self.stop.borrow() || long == LongPrompt::Answered {
            return None;
        }
        let index = next.replace(next.get() + 1);
        match index < requests {
            true => Some(index),
            false if long == LongPrompt::UnderWay => index.checked_rem(requests),
            false => None,
        }
    }

    async fn open(&self, requests: &[PlannedRequest], times: &[Duration]) {
        let request = |(index, (request, &time)): (usize, (_, &Duration))| async move {
            let due = self.start + time;
            tokio::select! {
                biased;
                () = stopped(self.stop) => {}
                () = self.let_go() => {}
                () = sleep_until(due) => self.send(index, request, due).await,
            }
        };
        join_all(requests.iter().zip(times).enumerate().map(request)).await;
    }

    /// Sends the long prompt once so many answers flow. If they all end before, it is not sent.
    async fn beside(&self, request: Option<&PlannedRequest>, wanted: usize, index: usize) {
        let Some(request) = request else { return };
        while self.tally.flowing.get() < wanted {
            if self.tally.over.get() {
                return;
            }
            self.tally.changed.notified().await;
        }
        self.tally.long.set(LongPrompt::UnderWay);
        self.send(index, request, Instant::now()).await;
        self.tally.long.set(LongPrompt::Answered);
        self.tally.changed.notify_waiters();
    }

    /// Ends when nothing more is wanted of the streams.
    async fn let_go(&self) {
        loop {
            // Before the look, so that no change is missed between the two.
            let changed = self.tally.changed.notified();
            if self.tally.long.get() == LongPrompt::Answered {
                return;
            }
            changed.await;
        }
    }

    /// Sends a request, and after its answer the next turn of its conversation.
    async fn send(&self, index: usize, request: &PlannedRequest, mut due: Instant) {
        let mut before = Vec::new();
        for asked in &request.turns {
            let Some(answered) = self.ask(index, request, &before, due).await else { return };
            before.push(Turn { asked: asked.clone(), answered });
            due = Instant::now();
        }
    }

    /// Sends one turn. The text of its answer, if there is a whole one.
    async fn ask(
        &self,
        index: usize,
        request: &PlannedRequest,
        before: &[Turn],
        due: Instant,
    ) -> Option<String> {
        let sent = Instant::now();
        let tally = &self.tally;
        add(&tally.running, 1);
        self.report();
        let mut heard = Heard::default();
        let pieces = Cell::new(0);
        let each_piece = || {
            pieces.set(pieces.get() + 1);
            tally.pieces.set(tally.pieces.get() + 1);
            if pieces.get() == FLOWING && request.part != Part::Beside {
                add(&tally.flowing, 1);
                tally.changed.notify_waiters();
            }
            self.report();
        };
        let outcome = tokio::select! {
            biased;
            result = self.exchange.exchange(request, before, &mut heard, &each_piece) => match result {
                Ok(()) => Outcome::Answered,
                Err(error) => Outcome::Failed { kind: error.kind, message: error.message },
            },
            () = stopped(self.stop) => Outcome::Interrupted,
            () = self.let_go(), if request.part != Part::Beside => Outcome::LetGo,
        };
        let answered = outcome == Outcome::Answered;
        let ended = Instant::now();
        if pieces.get() >= FLOWING && request.part != Part::Beside {
            add(&tally.flowing, -1);
        }
        add(&tally.running, -1);
        add(&tally.ended, 1);
        self.records.borrow_mut().push(Record {
            index,
            part: request.part,
            due: since(self.start, due),
            sent: since(self.start, sent),
            ended: since(self.start, ended),
            arrivals: heard.arrivals(self.start, request.output_tokens),
            usage: heard.usage,
            outcome,
        });
        self.report();
        answered.then_some(heard.text)
    }

    fn report(&self) {
        let Tally { ended, running, pieces, .. } = &self.tally;
        (self.progress)(Progress { ended: ended.get(), running: running.get(), pieces: pieces.get() });
    }
}

/// Ends when the run is to stop.
async fn stopped(stop: &watch::Receiver<bool>) {
    let mut stop = stop.clone();
    if stop.wait_for(|&stop| stop).await.is_err() {
        // Nobody can stop it any more.
        std::future::pending().await
    }
}
