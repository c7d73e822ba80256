//! A worker: one operating-system thread that runs threadgroups, each GPU thread on a fiber of its own.

use std::cell::Cell;
use std::io;
use std::ptr;

use super::abi::{Entry, LANES, Launch, SLOTS, position};
use super::checks::Checker;
use super::counts::Counts;
use super::dispatch::position_in_grid;
use super::fault::FaultKind;
use super::fiber::{Stacks, Suspended, switch};
use super::memory::ThreadgroupMemory;
use super::mistake::Mistake;
use super::schedule::Generator;
use super::threadgroup::{Next, Threadgroup};

/// Atomic operations in a row after which a thread is taken to wait for a change that never comes.
const MOST_SPINS: u32 = 1 << 24;

/// What all threadgroups of a dispatch have in common.
pub struct Plan {
    /// The kernel's function.
    pub entry: Entry,
    /// Addresses of the buffers and inline constants.
    pub buffers: [*mut std::ffi::c_void; SLOTS],
    /// Lengths of the threadgroup arguments.
    pub threadgroup_bytes: [usize; SLOTS],
    /// Bytes of threadgroup memory that the kernel may have.
    pub threadgroup_limit: usize,
    /// Threadgroups in the grid.
    pub threadgroups: [u32; 3],
    /// Threads in a threadgroup.
    pub threads: [u32; 3],
    /// The seed of a random schedule.
    pub seed: Option<u64>,
    /// Bit i is set if function constant i has a value.
    pub constants_defined: Vec<u32>,
    /// Whether the library was compiled with checks.
    pub checked: bool,
}

// SAFETY: the pointers are only passed on to the kernel. Whoever made them vouches for the memory behind them while
// the dispatch runs, on whatever thread.
unsafe impl Send for Plan {}
// SAFETY: as above; a plan is not changed while it is shared.
unsafe impl Sync for Plan {}

impl Plan {
    /// Threads of one threadgroup.
    pub fn thread_count(&self) -> usize {
        self.threads.iter().map(|&count| count as usize).product()
    }

    /// Threadgroups of the grid.
    pub fn threadgroup_count(&self) -> u64 {
        self.threadgroups.iter().map(|&count| u64::from(count)).product()
    }
}

/// The stacks and the state of the threadgroup that one operating-system thread runs.
pub struct Worker {
    /// Where the operating-system thread's own stack waits while fibers run.
    host: Suspended,
    /// By thread.
    fibers: Vec<Fiber>,
    stacks: Option<Stacks>,
    /// Stacks that no thread is on.
    free: Vec<u16>,
    /// The position of the threadgroup.
    place: [u32; 3],
    launches: Vec<Launch>,
    plan: *const Plan,
    /// Which threads wait, and who is next.
    pub threadgroup: Threadgroup,
    /// The memory that they share.
    pub memory: ThreadgroupMemory,
    /// What they did.
    pub counts: Counts,
    /// What watches them, in a library with checks.
    pub checker: Option<Box<Checker>>,
    /// Atomic operations that the running thread has executed since it began or waited.
    spins: u32,
    mistake: Option<Box<Mistake>>,
}

/// A thread's place to run: nothing at all until it begins.
#[derive(Clone, Copy)]
struct Fiber {
    suspended: Suspended,
    stack: u16,
}

impl Fiber {
    const NOT_BEGUN: Self = Self { suspended: Suspended::NOWHERE, stack: 0 };
}

thread_local! {
    static RUNNING: Cell<*mut Worker> = const { Cell::new(ptr::null_mut()) };
}

/// The worker whose fiber calls. Null outside of a dispatch.
#[inline]
pub fn running() -> *mut Worker {
    RUNNING.get()
}

impl Worker {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            host: Suspended::NOWHERE,
            fibers: Vec::new(),
            stacks: None,
            free: Vec::new(),
            place: [0; 3],
            launches: Vec::new(),
            plan: ptr::null(),
            threadgroup: Threadgroup::new(),
            memory: ThreadgroupMemory::new()?,
            counts: Counts::default(),
            checker: None,
            spins: 0,
            mistake: None,
        })
    }

    /// Makes room for a dispatch's threads, and fills in what is the same in all of its threadgroups.
    pub fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let threads = plan.thread_count();
        if self.stacks.as_ref().is_none_or(|stacks| stacks.count() < threads) {
            self.stacks = None;
            self.stacks = Some(Stacks::new(threads.next_multiple_of(LANES))?);
        }
        self.counts = Counts::default();
        self.launches.clear();
        for thread in 0..threads {
            self.launches.push(launch(plan, thread, self.memory.arguments()));
        }
        Ok(())
    }

    /// Runs one threadgroup to its end, or to the first mistake.
    pub fn run(&mut self, plan: &Plan, number: u64) -> Result<(), Box<Mistake>> {
        self.place = position_in_grid(number, plan.threadgroups);
        self.memory.begin(&plan.threadgroup_bytes, plan.threadgroup_limit, plan.checked)?;
        let stacks = self.stacks.as_ref().ok_or_else(no_stacks)?;
        if self.free.len() != stacks.count() {
            // There are other stacks now, or a mistake has left some in use.
            self.free = (0..stacks.count() as u16).rev().collect();
        }
        self.fibers.clear();
        self.fibers.resize(plan.thread_count(), Fiber::NOT_BEGUN);
        if let Some(checker) = &mut self.checker {
            checker.begin_threadgroup(number);
        }
        let random = plan.seed.map(|seed| Generator::new(seed, number));
        let first = self.threadgroup.begin(self.fibers.len(), random);
        self.plan = plan;
        self.mistake = None;
        let first = self.resume(first);
        let worker = ptr::from_mut(self);
        RUNNING.set(worker);
        // SAFETY: the first fiber was just prepared, on a stack that `self` keeps. While fibers run they reach the
        // worker through the same pointer, and `self` is not used before the last of them has switched back.
        unsafe { switch(&raw mut (*worker).host, first) };
        RUNNING.set(ptr::null_mut());
        self.mistake.take().map_or(Ok(()), Err)
    }

    /// The plan of the dispatch.
    pub fn plan(&self) -> Option<&Plan> {
        // SAFETY: set by `run` to a reference that outlives it, and only asked for while fibers run.
        unsafe { self.plan.as_ref() }
    }

    /// Whether an address is memory of the emulator that a kernel has to read.
    pub fn holds(&self, address: usize) -> bool {
        let launches = self.launches.as_ptr_range();
        let is_launch = (launches.start as usize..launches.end as usize).contains(&address);
        is_launch
            || address.wrapping_sub(self.memory.arguments() as usize) < SLOTS * size_of::<usize>()
            || address.wrapping_sub(self.plan as usize) < size_of::<Plan>()
    }

    /// The stack of the running thread.
    pub fn stack(&self) -> std::ops::Range<usize> {
        let stack = self.fibers[self.threadgroup.current()].stack;
        self.stacks.as_ref().map_or(0..0, |stacks| stacks.range(stack.into()))
    }

    /// Where a thread goes on: where it left off, or at its beginning on a free stack.
    #[inline]
    fn resume(&mut self, thread: usize) -> Suspended {
        if self.fibers[thread].suspended.is_nowhere()
            && let (Some(stack), Some(stacks)) = (self.free.pop(), &mut self.stacks)
        {
            self.fibers[thread] = Fiber { suspended: stacks.prepare(stack.into(), thread_body), stack };
        }
        self.fibers[thread].suspended
    }

    /// A thread has returned, and `next` goes on: elsewhere, or at its beginning on the stack that is free now. A
    /// kernel whose threads never wait needs one stack in all.
    #[inline]
    fn hand_over(&mut self, thread: usize, next: usize) -> Option<Suspended> {
        let stack = self.fibers[thread].stack;
        let waiting = self.fibers[next].suspended;
        if waiting.is_nowhere() {
            self.fibers[next].stack = stack;
            return None;
        }
        self.free.push(stack);
        Some(waiting)
    }

    /// The running thread executes an atomic operation. Objects if it has done nothing else for very long.
    pub fn count_atomic(&mut self) -> Result<(), Box<Mistake>> {
        self.counts.atomics += 1;
        self.spins += 1;
        if self.spins < MOST_SPINS {
            return Ok(());
        }
        let text = format!(
            "the thread has executed {MOST_SPINS} atomic operations and no barrier between: if it waits for another \
             thread, Metal does not promise that the other ever runs"
        );
        Err(Mistake::new(FaultKind::Livelock, text))
    }

    /// The last thread has returned.
    fn retire(&mut self, thread: usize) {
        self.free.push(self.fibers[thread].stack);
    }

    /// What a thread of this threadgroup is started with.
    #[inline]
    fn launch(&mut self, thread: usize) -> *const Launch {
        self.spins = 0;
        let launch = &mut self.launches[thread];
        let inside = launch.values[position::IN_THREADGROUP];
        let size = launch.values[position::THREADS_PER_THREADGROUP];
        for axis in 0..3 {
            launch.values[position::THREADGROUP][axis] = self.place[axis];
            launch.values[position::IN_GRID][axis] =
                self.place[axis].wrapping_mul(size[axis]).wrapping_add(inside[axis]);
        }
        launch
    }
}

fn no_stacks() -> Box<Mistake> {
    Mistake::new(FaultKind::Resources, "the worker has no stacks".to_owned())
}

/// What a thread is started with, save for the position of its threadgroup.
fn launch(plan: &Plan, thread: usize, threadgroup: *const [*mut std::ffi::c_void; SLOTS]) -> Launch {
    let index = thread as u32;
    let [columns, rows, _] = plan.threads;
    let inside = [index % columns, index / columns % rows, index / columns / rows];
    let vector = |values: [u32; 3]| [values[0], values[1], values[2], 0];
    let scalar = |value: u32| [value, 0, 0, 0];
    let grid: [u32; 3] = std::array::from_fn(|axis| plan.threadgroups[axis].wrapping_mul(plan.threads[axis]));
    let lanes = LANES as u32;
    let simdgroups = (plan.thread_count() as u32).div_ceil(lanes);
    let mut values = [[0; 4]; position::COUNT];
    values[position::IN_THREADGROUP] = vector(inside);
    values[position::THREADS_PER_THREADGROUP] = vector(plan.threads);
    values[position::DISPATCH_THREADS] = vector(plan.threads);
    values[position::THREADGROUPS_PER_GRID] = vector(plan.threadgroups);
    values[position::THREADS_PER_GRID] = vector(grid);
    values[position::GRID_SIZE] = vector(grid);
    values[position::INDEX_IN_THREADGROUP] = scalar(index);
    values[position::SIMDGROUP] = scalar(index / lanes);
    values[position::LANE] = scalar(index % lanes);
    values[position::SIMDGROUPS] = scalar(simdgroups);
    values[position::DISPATCH_SIMDGROUPS] = scalar(simdgroups);
    values[position::THREADS_PER_SIMDGROUP] = scalar(lanes);
    values[position::EXECUTION_WIDTH] = scalar(lanes);
    values[position::QUADGROUP] = scalar(index / 4);
    values[position::LANE_IN_QUADGROUP] = scalar(index % 4);
    Launch { buffers: &raw const plan.buffers, threadgroup, values }
}

/// What a fiber runs: its thread of the kernel, and then whoever is next.
unsafe extern "C" fn thread_body() -> ! {
    let worker = running();
    // SAFETY: `Worker::run` set the pointer, and waits on the host's stack. No reference into the worker is held
    // while the kernel runs: the calls that it makes take their own, briefly.
    unsafe {
        let entry = (*(*worker).plan).entry;
        loop {
            let thread = (*worker).threadgroup.current();
            entry((*worker).launch(thread));
            match (*worker).threadgroup.finish() {
                Ok(Next::Switch(next)) => {
                    if let Some(waiting) = (*worker).hand_over(thread, next) {
                        leave(waiting);
                    }
                }
                Ok(_) => {
                    (*worker).retire(thread);
                    leave((*worker).host);
                }
                Err(mut mistake) => {
                    mistake.thread = Some(thread as u32);
                    stop(worker, mistake);
                }
            }
        }
    }
}

/// Leaves a fiber for good.
///
/// # Safety
///
/// `to` is suspended, and belongs to the running worker.
unsafe fn leave(to: Suspended) -> ! {
    let mut nowhere = Suspended::NOWHERE;
    // SAFETY: by this function's contract. The fiber's state is never used again, so it may go to its own stack.
    unsafe { switch(&raw mut nowhere, to) };
    // Nobody switches back. Were it to happen, the stack below would be in an unknown state.
    std::process::abort()
}

/// Ends the threadgroup: the host learns of the mistake, and the fibers are abandoned where they are.
///
/// # Safety
///
/// `worker` is the running one, and the caller's frames on the fiber hold no value that has to be dropped.
pub unsafe fn stop(worker: *mut Worker, mistake: Box<Mistake>) -> ! {
    // SAFETY: the host waits in `Worker::run`, and no reference into the worker is held on any fiber.
    unsafe {
        (*worker).mistake = Some(mistake);
        leave((*worker).host)
    }
}

/// Lets the running thread wait, if that is what comes next.
///
/// # Safety
///
/// `worker` is the running one, `from` the thread that runs, and `next` what its threadgroup decided. The caller
/// holds no reference into the worker.
#[inline]
pub unsafe fn proceed(worker: *mut Worker, from: usize, next: Next) {
    if let Next::Switch(to) = next {
        // SAFETY: `to` is a ready thread, so its fiber is fresh or suspended, and it is not the running one.
        unsafe {
            let to = (*worker).resume(to);
            (*worker).spins = 0;
            let from = (*worker).fibers.as_mut_ptr().add(from);
            switch(&raw mut (*from).suspended, to);
        }
    }
}
