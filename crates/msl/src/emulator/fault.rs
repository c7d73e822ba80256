//! What the emulator says about a kernel that does something wrong.

use std::fmt;

use crate::Location;

/// What kind of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// An access of device memory beyond the end, or before the start, of a buffer.
    OutOfBoundsDevice,
    /// An access of threadgroup memory outside of every variable.
    OutOfBoundsThreadgroup,
    /// An index outside of an array whose size the compiler knows.
    OutOfBoundsArray,
    /// An access of an address that is nobody's: an argument that is not bound, or a broken pointer.
    WildAccess,
    /// A write to a buffer that is bound for reading, or to inline constants.
    ReadOnlyWrite,
    /// A read of threadgroup memory that no thread of the threadgroup has written.
    UninitialisedThreadgroupRead,
    /// A read of a buffer that was bound as uninitialised, where no thread has written.
    UninitialisedDeviceRead,
    /// Two threads use the same threadgroup memory, one of them writes, and nothing orders them.
    ThreadgroupRace,
    /// Two threads of one threadgroup use the same device memory, one of them writes, and nothing orders them.
    DeviceRace,
    /// Threads of two threadgroups use the same device memory, one of them writes, and nothing orders them.
    CrossThreadgroupRace,
    /// Threads of a threadgroup wait at different barriers, or not all of them come to one.
    DivergentBarrier,
    /// Lanes of a simdgroup call different operations, or the same one from different places.
    DivergentCollective,
    /// A simdgroup operation or barrier waits for threads that have ended already.
    FinishedThreads,
    /// A thread executes atomic operations without end: it waits for another, which Metal does not promise to run.
    Livelock,
    /// More than 32 KiB of threadgroup memory.
    ThreadgroupMemory,
    /// An integer division by zero, or one whose result does not fit.
    Division,
    /// The kernel asks for something that has no meaning, such as a shuffle from a lane that does not take part.
    Refused,
    /// The dispatch does not fit the kernel: no such kernel, a missing or misaligned argument, too many threads.
    Dispatch,
    /// The machine has no memory for stacks or shadows.
    Resources,
}

/// A mistake found while a kernel ran. The dispatch ended there; what its buffers hold is undefined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of mistake it is.
    pub kind: FaultKind,
    /// What was found, in words.
    pub message: String,
    /// The kernel that ran.
    pub kernel: String,
    /// The line of the kernel's source, if the library was compiled with checks.
    pub location: Option<Location>,
    /// Where the function with that line was called from, if the kernel calls functions: innermost first.
    pub callers: Vec<Location>,
    /// The other line that has a part in it: the earlier access of a race.
    pub other_location: Option<Location>,
    /// Position of the threadgroup in the grid, if threads ran at all.
    pub threadgroup: Option<[u32; 3]>,
    /// Index of the thread in its threadgroup.
    pub thread: Option<u32>,
    /// The seed of a random schedule: the same seed repeats the same run.
    pub seed: Option<u64>,
}

impl Fault {
    /// A fault found before any thread ran.
    pub(super) fn before_launch(kind: FaultKind, kernel: &str, message: String) -> Box<Self> {
        Box::new(Self {
            kind,
            message,
            kernel: kernel.to_owned(),
            location: None,
            callers: Vec::new(),
            other_location: None,
            threadgroup: None,
            thread: None,
            seed: None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(formatter, "{location}: ")?;
        }
        write!(formatter, "{}", self.message)?;
        if let Some(other) = &self.other_location {
            write!(formatter, " (the other thread: {other})")?;
        }
        for caller in &self.callers {
            write!(formatter, ", called from {caller}")?;
        }
        write!(formatter, " [kernel {}", self.kernel)?;
        if let Some([x, y, z]) = self.threadgroup {
            write!(formatter, ", threadgroup ({x}, {y}, {z})")?;
        }
        if let Some(thread) = self.thread {
            write!(formatter, ", thread {thread}")?;
        }
        if let Some(seed) = self.seed {
            write!(formatter, ", random schedule with seed {seed}")?;
        }
        write!(formatter, "]")
    }
}

impl std::error::Error for Fault {}
