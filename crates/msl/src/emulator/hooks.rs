//! What a running kernel calls, by way of `glue.cpp`: each function asks the threadgroup's bookkeeping what should
//! happen, tells the checker, and switches stacks if the thread has to wait.
//!
//! All of them are called on a fiber of a worker, and never hold a reference into the worker over a switch.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::abi::{Exchange, LANES, Table, kind, stop as reason};
use super::atomics::{self, Operation as Atomic};
use super::fault::FaultKind;
use super::frames::Frames;
use super::mistake::Mistake;
use super::shadow::Access;
use super::simdgroup::Operation;
use super::worker::{Worker, proceed, running, stop};

/// Calls that are remembered of a mistake.
const MAX_FRAMES: usize = 64;

/// The functions that a library is bound to.
pub const TABLE: Table = Table {
    threadgroup_variable,
    collective,
    lane,
    threadgroup_barrier,
    fence,
    atomic,
    constant_is_defined,
    fail,
    access,
    thread,
};

/// The return address of the function whose frame this is.
///
/// # Safety
///
/// `frame` is a frame pointer of this thread: the word above it is its return address.
#[inline]
unsafe fn return_address(frame: *const usize) -> usize {
    // SAFETY: by this function's contract.
    unsafe { *frame.add(1) }
}

/// Ends the threadgroup with a mistake that was made under `frame`.
///
/// # Safety
///
/// As for [`stop`]; `frame` is a frame pointer of the running fiber.
#[cold]
unsafe fn stop_at(worker: *mut Worker, mut mistake: Box<Mistake>, frame: *const usize) -> ! {
    // SAFETY: the worker runs this fiber, whose stack may be read. `mistake` goes to the host.
    unsafe {
        let stack = (*worker).stack();
        mistake.thread = mistake.thread.or(Some((*worker).threadgroup.current() as u32));
        mistake.frames = Frames::new(frame, stack).take(MAX_FRAMES).collect();
        stop(worker, mistake)
    }
}

unsafe extern "C" fn threadgroup_variable(
    site: u32,
    bytes: u64,
    name: *const c_char,
    frame: *const usize,
) -> *mut c_void {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only, and `frame` is the caller's.
    unsafe {
        match (*worker).memory.variable(site, bytes as usize, name) {
            Ok(start) => start.cast(),
            Err(mistake) => stop_at(worker, mistake, frame),
        }
    }
}

unsafe extern "C" fn collective(
    what: u32,
    value: *const u8,
    bytes: u32,
    frame: *const usize,
) -> *mut Exchange {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only; the prelude passes `bytes` bytes of a variable of its own, or
    // nothing at all; `frame` is the caller's.
    unsafe {
        let site = return_address(frame);
        let operation = Operation { kind: what, bytes, site };
        let value = if bytes == 0 { &[] } else { std::slice::from_raw_parts(value, bytes as usize) };
        if let Some(mistake) = other_place(&mut *worker, &operation, frame) {
            stop_at(worker, mistake, frame);
        }
        let thread = (*worker).threadgroup.current();
        match (*worker).threadgroup.collective(operation, value) {
            Err(mistake) => stop_at(worker, mistake, frame),
            Ok(arrival) => {
                if arrival.complete {
                    completed_collective(&mut *worker, what, thread);
                }
                proceed(worker, thread, arrival.next);
                arrival.result
            }
        }
    }
}

/// With checks, lanes must come to a collective from one place of the source, by the same calls.
///
/// # Safety
///
/// `frame` is a frame pointer of the worker's running fiber.
#[inline]
unsafe fn other_place(
    worker: &mut Worker,
    operation: &Operation,
    frame: *const usize,
) -> Option<Box<Mistake>> {
    let group = worker.threadgroup.group();
    let stack = worker.stack();
    let checker = worker.checker.as_mut()?;
    // SAFETY: by this function's contract.
    let path = checker.path(unsafe { Frames::new(frame, stack) });
    match worker.threadgroup.waiting_operation() {
        None => checker.first_at_collective(group, path),
        Some(waiting) if waiting.kind == operation.kind && !checker.joins_collective(group, &path) => {
            let name = kind::name(operation.kind);
            let text = format!("lanes of one simdgroup call {name} from different places");
            return Some(Mistake::new(FaultKind::DivergentCollective, text).with_other(waiting.site));
        }
        Some(_) => {}
    }
    None
}

fn completed_collective(worker: &mut Worker, what: u32, thread: usize) {
    worker.counts.add_collective(what);
    if let (Some(flags), Some(checker)) = (kind::barrier_flags(what), &mut worker.checker) {
        checker.simdgroup_barrier(thread / LANES, flags);
    }
}

extern "C" fn lane() -> u32 {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only.
    unsafe { ((*worker).threadgroup.current() % LANES) as u32 }
}

extern "C" fn thread() -> u32 {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only.
    unsafe { (*worker).threadgroup.current() as u32 }
}

unsafe extern "C" fn threadgroup_barrier(flags: u32, frame: *const usize) {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only; `frame` is the caller's.
    unsafe {
        let site = return_address(frame);
        if let Some(mistake) = other_barrier(&mut *worker, frame) {
            stop_at(worker, mistake, frame);
        }
        let thread = (*worker).threadgroup.current();
        match (*worker).threadgroup.barrier(flags, site) {
            Err(mistake) => stop_at(worker, mistake, frame),
            Ok(arrival) => {
                if arrival.complete {
                    (*worker).counts.threadgroup_barriers += 1;
                    if let Some(checker) = &mut (*worker).checker {
                        checker.threadgroup_barrier(flags);
                    }
                }
                proceed(worker, thread, arrival.next);
            }
        }
    }
}

/// With checks, threads must come to a barrier from one place of the source, by the same calls.
///
/// # Safety
///
/// `frame` is a frame pointer of the worker's running fiber.
unsafe fn other_barrier(worker: &mut Worker, frame: *const usize) -> Option<Box<Mistake>> {
    let stack = worker.stack();
    let checker = worker.checker.as_mut()?;
    // SAFETY: by this function's contract.
    let path = checker.path(unsafe { Frames::new(frame, stack) });
    match worker.threadgroup.waiting_barrier() {
        None => checker.first_at_barrier(path),
        Some(waiting) if !checker.joins_barrier(&path) => {
            let text = "threads of one threadgroup wait at different threadgroup_barriers".to_owned();
            return Some(Mistake::new(FaultKind::DivergentBarrier, text).with_other(waiting));
        }
        Some(_) => {}
    }
    None
}

unsafe extern "C" fn fence(flags: u32, order: u32, scope: u32, _frame: *const usize) {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only.
    unsafe {
        let thread = (*worker).threadgroup.current();
        if let Some(checker) = &mut (*worker).checker {
            checker.fence(thread, flags, order, scope);
        }
    }
}

unsafe extern "C" fn atomic(
    number: u32,
    bytes: u32,
    address: *mut c_void,
    value: u64,
    expected: u64,
    old: *mut u64,
    frame: *const usize,
) -> u32 {
    let worker = running();
    let operation = Atomic::new(number);
    // SAFETY: kernels run on a worker's fibers only; `old` is a variable of the prelude's; `frame` is the caller's.
    // The address is as good as the kernel's: with checks it was just found inside of a buffer.
    unsafe {
        if let Err(mistake) = (*worker).count_atomic() {
            stop_at(worker, mistake, frame);
        }
        if !(address as usize).is_multiple_of(bytes.max(1) as usize) {
            let text =
                format!("an atomic operation on {bytes} bytes at an address that is no multiple of {bytes}");
            stop_at(worker, Mistake::new(FaultKind::Refused, text), frame);
        }
        let what = Access::Atomic { reads: operation.reads(), writes: operation.writes() };
        check(worker, address as usize, bytes as usize, what, frame);
        match atomics::change(operation, bytes, address.cast(), value, expected) {
            Some(seen) => *old = seen,
            None => {
                let text = format!("an atomic operation on {bytes} bytes: 1, 4 and 8 are possible");
                stop_at(worker, Mistake::new(FaultKind::Refused, text), frame);
            }
        }
    }
    0
}

extern "C" fn constant_is_defined(index: c_int) -> c_int {
    let worker = running();
    // SAFETY: kernels run on a worker's fibers only.
    let plan = unsafe { (*worker).plan() };
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    plan.is_some_and(|plan| plan.constants_defined.contains(&index)).into()
}

unsafe extern "C" fn fail(why: u32, message: *const c_char, frame: *const usize) {
    let worker = running();
    let (kind, text) = match why {
        reason::ARRAY_INDEX => (FaultKind::OutOfBoundsArray, "an index is outside of its array".to_owned()),
        reason::DIVISION => {
            (FaultKind::Division, "an integer is divided by zero, or the quotient does not fit".to_owned())
        }
        _ if message.is_null() => (FaultKind::Refused, "the kernel stops itself".to_owned()),
        // SAFETY: the prelude passes a string constant.
        _ => (FaultKind::Refused, unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()),
    };
    // SAFETY: kernels run on a worker's fibers only; `frame` is the caller's.
    unsafe { stop_at(worker, Mistake::new(kind, text), frame) }
}

unsafe extern "C" fn access(address: usize, bytes: usize, is_write: u32, frame: *const usize) {
    let worker = running();
    if worker.is_null() {
        return;
    }
    let what = if is_write == 0 { Access::Read } else { Access::Write };
    // SAFETY: the worker runs this fiber, and `frame` is the caller's.
    unsafe {
        // The prelude reads what other lanes have laid down for it: by far the most frequent access, and none of the
        // kernel's.
        if !(*worker).threadgroup.holds(address) {
            check(worker, address, bytes, what, frame);
        }
    }
}

/// Lets the checker look at an access before it happens.
///
/// # Safety
///
/// `worker` is the running one, and `frame` a frame pointer of its running fiber.
#[inline]
unsafe fn check(worker: *mut Worker, address: usize, bytes: usize, what: Access, frame: *const usize) {
    // SAFETY: by this function's contract; the reference ends before anything is switched.
    unsafe {
        let result = super::checks::inspect(&mut *worker, address, bytes, what, return_address(frame));
        if let Err(mistake) = result {
            stop_at(worker, mistake, frame);
        }
    }
}
