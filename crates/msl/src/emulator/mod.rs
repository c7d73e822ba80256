//! Runs kernels on the processor as a GPU would, and watches what they do.
//!
//! A kernel's lowered text is compiled to a shared library; [`Library::open`] loads it and [`Library::run`] runs a
//! [`Dispatch`]. What is emulated is not a particular GPU but what Metal promises on all of them, so a kernel that
//! runs here without a [`Fault`] uses no more than the promise.
//!
//! # How a threadgroup runs
//!
//! Each GPU thread is a fiber: a stack of its own, between which one operating-system thread switches (`fiber`). A
//! thread runs until it has to wait for others. In between nothing else of its threadgroup runs. That is simpler than
//! a GPU, where lanes advance together, but it is one of the orders that Metal allows: nothing is promised about the
//! order of threads save at barriers. So it is a fair test, and a fast one.
//!
//! - A collective, such as `simd_sum`, is a rendezvous of the 32 lanes of a simdgroup (`simdgroup`).
//! - A barrier is a rendezvous of the threadgroup (`threadgroup`).
//! - Threadgroup memory is 32 KiB, new and full of NaN for every threadgroup (`memory`).
//! - Threadgroups are spread over the processor's cores (`pool`), and none waits for another: Metal does not promise
//!   that two of them run at the same time. A thread that spins on an atomic variable until another acts is stopped.
//!
//! The order is fixed, or drawn from a seed (`schedule`). The same seed gives the same run, and is named in faults.
//!
//! Numbers are computed as the processor does, with clang's rounding: no fused operation that isn't written, and
//! subnormal numbers are kept, which a GPU may flush to zero. A kernel's tolerance has to allow for both.
//!
//! # What is checked
//!
//! Always: that a dispatch fits its kernel and the limits of every Apple GPU (`limits`), and that lanes which wait for
//! each other wait for the same thing.
//!
//! In a library compiled with checks, clang's thread sanitizer has put a call before each access of memory. The
//! emulator answers it (`checks`) and finds
//! - accesses outside of a buffer or a threadgroup variable, and writes to what is bound for reading. The access has not
//!   happened yet, so the process stays whole. Buffers are copied far apart first (`staging`);
//! - reads of threadgroup memory, or of a buffer bound as output, where nobody has written;
//! - races, by the rules below, with both lines (`order`, `fences`, `shadow`);
//! - collectives and barriers that threads reach from different places in the source, or by different calls (`frames`,
//!   `locate`).
//!
//! It also counts bytes exactly ([`Counts`]).
//!
//! The sanitizer has no call for single stores of 3 or 6 bytes, as some of a `uchar3` or a `half3` are: those are
//! neither checked nor counted.
//!
//! # The memory model
//!
//! Two accesses of the same byte, at least one of them a write, are a race unless both are atomic or one is ordered
//! before the other. It does not matter whether both write the same value, nor whether this run's order did harm:
//! a race is found in any schedule in which both accesses happen. What orders them:
//!
//! - the program's order, within a thread;
//! - `threadgroup_barrier(flags)`, between threads of a threadgroup, for the memory that the flags name: one with
//!   `mem_threadgroup` alone leaves device memory unordered, and `mem_none` orders nothing;
//! - `simdgroup_barrier(flags)`, the same between lanes of a simdgroup;
//! - fences with atomic operations, between threadgroups: a thread that executes a releasing fence of device scope and
//!   then changes an atomic variable passes on what was ordered before the fence; a thread that reads that variable
//!   and then executes an acquiring fence learns it.
//!
//! Collectives order nothing. Fences of a narrower scope order nothing either: within a threadgroup a barrier is
//! what kernels should use. An access of a thread's own variables is not looked at, except that an index outside of an
//! array whose size is known is found.
//!
//! # Unsafe code
//!
//! Kernels are foreign functions that get plain addresses. Three things have to be unsafe: switching stacks (`fiber`,
//! `worker`), answering calls from the library (`hooks`, `frames`), and lending memory to it (`library`, `staging`, `memory`,
//! `atomics`). All decisions are made in between, in safe code that knows numbers of threads and no stacks. One rule
//! ties it together: no reference into a worker is held over a switch, and no value that has to be dropped either,
//! because a fault abandons all fibers where they stand.

mod abi;
mod atomics;
mod checks;
mod counts;
mod dispatch;
mod fault;
mod fences;
mod fiber;
mod frames;
mod hooks;
mod library;
mod limits;
mod locate;
mod memory;
mod mistake;
mod order;
mod pool;
mod schedule;
mod shadow;
mod simdgroup;
mod staging;
mod threadgroup;
mod worker;

pub use counts::Counts;
pub use dispatch::{Binding, Buffer, BufferAccess, ConstantValue, Dispatch};
pub use fault::{Fault, FaultKind};
pub use library::{Library, Mode, OpenError};
pub use schedule::Schedule;

/// The C side of the emulator, to be compiled into every kernel library.
pub const GLUE: &str = include_str!("glue.cpp");
