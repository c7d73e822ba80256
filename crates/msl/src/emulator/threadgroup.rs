//! A threadgroup: which of its threads run, wait or have finished, and who is next.
//!
//! This is bookkeeping only: it says what should happen, and [`worker`](super::worker) switches the stacks.

use super::abi::{Exchange, LANES};
use super::fault::FaultKind;
use super::mistake::Mistake;
use super::schedule::{Generator, following};
use super::simdgroup::{Lanes, Operation, Simdgroup};

/// What the running thread does now.
pub enum Next {
    /// It goes on.
    Continue,
    /// It waits, and this thread goes on instead.
    Switch(usize),
    /// It was the last to return: the threadgroup is done.
    Done,
}

/// The threads that wait at a threadgroup barrier.
#[derive(Clone, Copy, Default)]
struct Barrier {
    waiting: usize,
    flags: u32,
    site: usize,
}

/// The threads of one threadgroup.
pub struct Threadgroup {
    /// How many there are.
    threads: usize,
    /// The one that runs.
    current: usize,
    finished: usize,
    barrier: Barrier,
    simdgroups: Vec<Simdgroup>,
    /// Where the lanes of each simdgroup lay down their values.
    exchanges: Vec<[Exchange; 2]>,
    /// Bit g is set if a lane of simdgroup g is ready.
    ready: u32,
    random: Option<Generator>,
}

/// What an arrival at a barrier or collective led to.
pub struct Arrival<T> {
    /// What the thread has come for.
    pub result: T,
    /// Whether it was the last one, and all go on.
    pub complete: bool,
    /// What happens now.
    pub next: Next,
}

impl Threadgroup {
    pub fn new() -> Self {
        Self {
            threads: 0,
            current: 0,
            finished: 0,
            barrier: Barrier::default(),
            simdgroups: Vec::new(),
            exchanges: Vec::new(),
            ready: 0,
            random: None,
        }
    }

    /// Makes it one of `threads` threads that are all ready, and says which begins.
    pub fn begin(&mut self, threads: usize, random: Option<Generator>) -> usize {
        let groups = threads.div_ceil(LANES);
        self.threads = threads;
        self.finished = 0;
        self.barrier = Barrier::default();
        self.random = random;
        let room = groups.max(self.simdgroups.len());
        self.simdgroups.resize_with(room, Simdgroup::new);
        self.exchanges.resize(room, [const { Exchange::EMPTY }; 2]);
        for (index, simdgroup) in self.simdgroups.iter_mut().take(groups).enumerate() {
            simdgroup.begin((threads - index * LANES).min(LANES));
        }
        self.ready = u32::MAX >> (LANES - groups);
        self.current = 0;
        if self.random.is_some() {
            return self.take_ready().unwrap_or(0);
        }
        self.simdgroups[0].ready &= !1;
        0
    }

    /// The thread that runs.
    pub fn current(&self) -> usize {
        self.current
    }

    /// The simdgroup of the thread that runs, by number.
    pub fn group(&self) -> usize {
        self.current / LANES
    }

    fn lane(&self) -> u32 {
        (self.current % LANES) as u32
    }

    /// The collective that lanes of the running thread's simdgroup wait at, if any do.
    pub fn waiting_operation(&self) -> Option<&Operation> {
        let simdgroup = &self.simdgroups[self.group()];
        (simdgroup.at_collective != 0).then_some(&simdgroup.operation)
    }

    /// Where threads wait at a barrier, if any do.
    pub fn waiting_barrier(&self) -> Option<usize> {
        (self.barrier.waiting != 0).then_some(self.barrier.site)
    }

    /// Whether an address lies in the memory through which lanes exchange values.
    pub fn holds(&self, address: usize) -> bool {
        let range = self.exchanges.as_ptr_range();
        (range.start as usize..range.end as usize).contains(&address)
    }

    /// The running thread comes to a collective of its simdgroup.
    pub fn collective(
        &mut self,
        operation: Operation,
        value: &[u8],
    ) -> Result<Arrival<*mut Exchange>, Box<Mistake>> {
        let (group, lane) = (self.group(), self.lane());
        let (result, complete) =
            self.simdgroups[group].arrive(&mut self.exchanges[group], lane, operation, value)?;
        let next = if complete { self.go_on(1 << group) } else { self.wait()? };
        Ok(Arrival { result, complete, next })
    }

    /// The running thread comes to a barrier of the whole threadgroup.
    pub fn barrier(&mut self, flags: u32, site: usize) -> Result<Arrival<()>, Box<Mistake>> {
        let (group, lane) = (self.group(), self.lane());
        if let Some(mistake) = self.barrier_objection(flags) {
            return Err(mistake);
        }
        if self.barrier.waiting == 0 {
            self.barrier = Barrier { waiting: 0, flags, site };
        }
        self.barrier.waiting += 1;
        self.simdgroups[group].at_barrier |= 1 << lane;
        let complete = self.barrier.waiting == self.threads;
        if !complete {
            let next = self.wait()?;
            return Ok(Arrival { result: (), complete, next });
        }
        self.barrier.waiting = 0;
        let groups = self.threads.div_ceil(LANES);
        for simdgroup in &mut self.simdgroups[..groups] {
            simdgroup.ready = simdgroup.at_barrier;
            simdgroup.at_barrier = 0;
        }
        self.simdgroups[group].ready &= !(1 << lane);
        let next = self.go_on(u32::MAX >> (LANES - groups));
        Ok(Arrival { result: (), complete, next })
    }

    #[inline]
    fn barrier_objection(&self, flags: u32) -> Option<Box<Mistake>> {
        let simdgroup = &self.simdgroups[self.group()];
        if self.finished != 0 {
            let text = format!("threadgroup_barrier, but {} threads have returned already", self.finished);
            return Some(Mistake::new(FaultKind::FinishedThreads, text));
        }
        if simdgroup.at_collective != 0 {
            let name = super::abi::kind::name(simdgroup.operation.kind);
            let (lane, lanes) = (self.lane(), Lanes(simdgroup.at_collective));
            let text = format!(
                "lane {lane} comes to a threadgroup_barrier while {lanes} of its simdgroup wait at {name}"
            );
            let mistake = Mistake::new(FaultKind::DivergentBarrier, text);
            return Some(mistake.with_other(simdgroup.operation.site));
        }
        if self.barrier.waiting != 0 && self.barrier.flags != flags {
            let text = format!(
                "threads wait at a threadgroup_barrier with mem_flags {:#x}, this one comes to one with {flags:#x}",
                self.barrier.flags
            );
            return Some(Mistake::new(FaultKind::DivergentBarrier, text).with_other(self.barrier.site));
        }
        None
    }

    /// The running thread returns from the kernel.
    pub fn finish(&mut self) -> Result<Next, Box<Mistake>> {
        let (group, lane) = (self.group(), self.lane());
        let simdgroup = &mut self.simdgroups[group];
        simdgroup.finished |= 1 << lane;
        self.finished += 1;
        if simdgroup.at_collective != 0 {
            let name = super::abi::kind::name(simdgroup.operation.kind);
            let lanes = Lanes(simdgroup.at_collective);
            let text =
                format!("lane {lane} has returned, but {lanes} of its simdgroup wait for it at {name}");
            return Err(Mistake::new(FaultKind::FinishedThreads, text).at(simdgroup.operation.site));
        }
        if self.barrier.waiting != 0 {
            let waiting = self.barrier.waiting;
            let text = format!(
                "the thread has returned, but {waiting} threads wait for it at a threadgroup_barrier"
            );
            return Err(Mistake::new(FaultKind::FinishedThreads, text).at(self.barrier.site));
        }
        if self.finished == self.threads { Ok(Next::Done) } else { self.wait() }
    }

    /// The running thread may go on, and so may others of these simdgroups.
    fn go_on(&mut self, groups: u32) -> Next {
        self.ready |= groups;
        if self.random.is_none() {
            // Bits of simdgroups without a ready lane are cleared when they are come upon.
            return Next::Continue;
        }
        let group = self.group();
        self.simdgroups[group].ready |= 1 << self.lane();
        let was = self.current;
        match self.take_ready() {
            Some(thread) if thread != was => Next::Switch(thread),
            _ => Next::Continue,
        }
    }

    /// The running thread can't go on: finds another.
    fn wait(&mut self) -> Result<Next, Box<Mistake>> {
        match self.take_ready() {
            Some(thread) => Ok(Next::Switch(thread)),
            None => Err(self.stuck()),
        }
    }

    /// Takes a ready thread and makes it the current one.
    #[inline]
    fn take_ready(&mut self) -> Option<usize> {
        let mut group = self.group();
        let own = self.simdgroups[group].ready;
        let lane = match &mut self.random {
            None if own != 0 => following(own, self.lane()),
            None => {
                group = self.next_group()?;
                self.simdgroups[group].ready.trailing_zeros()
            }
            Some(_) => self.drawn(&mut group)?,
        };
        self.simdgroups[group].ready &= !(1 << lane);
        self.current = group * LANES + lane as usize;
        Some(self.current)
    }

    /// The next simdgroup with a ready lane.
    fn next_group(&mut self) -> Option<usize> {
        while self.ready != 0 {
            let group = following(self.ready, self.group() as u32) as usize;
            if self.simdgroups[group].ready != 0 {
                return Some(group);
            }
            self.ready &= !(1 << group);
        }
        None
    }

    /// A ready lane by chance: mostly of the same simdgroup, so that simdgroups drift far apart now and then.
    fn drawn(&mut self, group: &mut usize) -> Option<u32> {
        for (index, simdgroup) in self.simdgroups.iter().enumerate().take(self.threads.div_ceil(LANES)) {
            self.ready = self.ready & !(1 << index) | u32::from(simdgroup.ready != 0) << index;
        }
        let random = self.random.as_mut()?;
        if self.ready == 0 {
            return None;
        }
        if self.simdgroups[*group].ready == 0 || random.below(8) == 0 {
            *group = random.one_of(self.ready) as usize;
        }
        Some(random.one_of(self.simdgroups[*group].ready))
    }

    /// Nobody can run: threads wait for others that wait elsewhere.
    #[cold]
    fn stuck(&self) -> Box<Mistake> {
        let mut text = String::from("every thread waits:");
        let mut collective = None;
        for (index, simdgroup) in self.simdgroups[..self.threads.div_ceil(LANES)].iter().enumerate().take(8) {
            if simdgroup.at_collective != 0 {
                let name = super::abi::kind::name(simdgroup.operation.kind);
                text += &format!(" simdgroup {index} has {} at {name};", Lanes(simdgroup.at_collective));
                collective = Some(simdgroup.operation.site);
            }
            if simdgroup.at_barrier != 0 {
                text += &format!(" simdgroup {index} has {} at a barrier;", Lanes(simdgroup.at_barrier));
            }
        }
        let text = text.trim_end_matches(';').to_owned();
        match collective {
            Some(site) => Mistake::new(FaultKind::DivergentCollective, text).with_other(site),
            None => Mistake::new(FaultKind::DivergentBarrier, text),
        }
    }
}
