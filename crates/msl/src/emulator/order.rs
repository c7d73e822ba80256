//! What happens before what: a clock that barriers and fences advance.
//!
//! Two accesses of the same bytes are a race if at least one writes and nothing in the program orders them. Which of
//! them came first in this run does not matter; so a race is found in any schedule in which both happen.
//!
//! The clock counts synchronisations. An access notes the time, and since every barrier notes its time too, "a barrier
//! of both threads lies between" is a comparison of two numbers:
//! - threads of one threadgroup are ordered by a `threadgroup_barrier` whose memory flags name the memory;
//! - lanes of one simdgroup also by such a `simdgroup_barrier`;
//! - threads of different threadgroups only by a chain of fences and atomic operations, see [`Fences`].
//!
//! Collectives such as `simd_sum` order nothing: Metal promises no more about memory there than about any other
//! instruction.

use bytemuck::Zeroable;

use super::abi::{LANES, memory_flags};
use super::fences::Fences;

/// The kinds of memory that barriers order, each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Device,
    Threadgroup,
}

/// An access as the shadow of its memory remembers it.
#[derive(Clone, Copy, Default, Zeroable)]
#[repr(C)]
pub struct Mark {
    /// When it was; zero if it never was.
    pub time: u32,
    /// The place in the library: its address in the file, as far as 32 bits go.
    pub site: u32,
    /// The thread's index in its threadgroup.
    pub thread: u16,
    /// Not zero for an atomic operation.
    pub atomic: u16,
}

impl Mark {
    /// No access.
    pub const NONE: Self = Self { time: 0, site: 0, thread: 0, atomic: 0 };

    /// The simdgroup of its thread.
    pub fn simdgroup(&self) -> usize {
        usize::from(self.thread) / LANES
    }
}

/// The times of one kind of memory's barriers in the running threadgroup.
#[derive(Clone, Copy, Default)]
pub struct Barriers {
    /// The last one of the threadgroup.
    pub threadgroup: u32,
    /// The last one of each simdgroup.
    pub simdgroup: [u32; LANES],
}

impl Barriers {
    /// Whether a barrier lies between an access of this threadgroup and now, for a thread.
    #[inline]
    pub fn between(&self, earlier: &Mark, thread: u16) -> bool {
        let group = usize::from(thread) / LANES;
        earlier.time < self.threadgroup
            || earlier.simdgroup() == group && earlier.time < self.simdgroup[group]
    }
}

/// The clock of one dispatch, whose threadgroups run one after another.
pub struct Clock {
    now: u32,
    /// When each threadgroup began, and its number.
    begun: Vec<(u32, u64)>,
    device: Barriers,
    threadgroup: Barriers,
    fences: Fences,
}

impl Clock {
    pub fn new() -> Self {
        Self {
            now: 0,
            begun: Vec::new(),
            device: Barriers::default(),
            threadgroup: Barriers::default(),
            fences: Fences::default(),
        }
    }

    /// The time.
    pub fn now(&self) -> u32 {
        self.now
    }

    /// When the running threadgroup began.
    pub fn begin(&self) -> u32 {
        self.begun.last().map_or(0, |(time, _)| *time)
    }

    /// A threadgroup begins.
    pub fn begin_threadgroup(&mut self, number: u64) {
        self.now += 1;
        self.begun.push((self.now, number));
        self.device = Barriers::default();
        self.threadgroup = Barriers::default();
        self.fences.begin_threadgroup();
    }

    /// The number of the threadgroup that made an access.
    pub fn threadgroup_of(&self, mark: &Mark) -> u64 {
        let after = self.begun.partition_point(|(time, _)| *time <= mark.time);
        after.checked_sub(1).map_or(0, |index| self.begun[index].1)
    }

    /// All threads of the threadgroup have come to a barrier.
    pub fn threadgroup_barrier(&mut self, flags: u32) {
        self.now += 1;
        let now = self.now;
        self.named(flags, |barriers| barriers.threadgroup = now);
    }

    /// All lanes of a simdgroup have come to a barrier.
    pub fn simdgroup_barrier(&mut self, group: usize, flags: u32) {
        self.now += 1;
        let now = self.now;
        self.named(flags, |barriers| barriers.simdgroup[group] = now);
    }

    fn named(&mut self, flags: u32, note: impl Fn(&mut Barriers)) {
        if flags & memory_flags::DEVICE != 0 {
            note(&mut self.device);
        }
        if flags & memory_flags::THREADGROUP != 0 {
            note(&mut self.threadgroup);
        }
    }

    /// A thread executes a fence over device memory.
    pub fn fence(&mut self, thread: u16, acquires: bool, releases: bool) {
        let (time, begin) = (self.now, self.begin());
        self.fences.fence(thread, time, begin, &self.device, acquires, releases);
        self.now += 1;
    }

    /// A thread executes an atomic operation on device memory.
    pub fn atomic(&mut self, thread: u16, address: usize, reads: bool, writes: bool) {
        self.fences.atomic(thread, address, reads, writes, &self.device);
    }

    /// Whether an earlier access is over before what a thread does now.
    #[inline]
    pub fn ordered(&self, space: Space, earlier: &Mark, thread: u16) -> bool {
        if earlier.time < self.begin() {
            return space == Space::Threadgroup || self.fences.ordered(earlier, thread, &self.device);
        }
        let barriers = match space {
            Space::Device => &self.device,
            Space::Threadgroup => &self.threadgroup,
        };
        earlier.thread == thread || barriers.between(earlier, thread)
    }
}
