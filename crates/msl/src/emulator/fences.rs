//! Order between threadgroups: what one has written before a fence, another may read after a fence, if an atomic
//! operation carried the news from one to the other.
//!
//! This is C++'s rule for fences. The pattern is "the last threadgroup adds up": every threadgroup writes its part,
//! passes a `threadgroup_barrier(mem_flags::mem_device)`, and one of its threads executes
//! `atomic_thread_fence(mem_flags::mem_device, memory_order_seq_cst, thread_scope_device)` and increments a counter.
//! Whoever finds the counter full fences again, passes a barrier, and its threadgroup may read all parts. Leave out
//! the fence and it is a race, even though it often works.

use std::collections::HashMap;

use super::abi::LANES;
use super::order::{Barriers, Mark};

/// What a thread had behind it when it executed a releasing fence.
#[derive(Clone, Copy)]
struct Release {
    thread: u16,
    /// When its threadgroup began, and when the fence was.
    begin: u32,
    fence: u32,
    /// The last barriers before the fence: of its threadgroup, and of its simdgroup.
    threadgroup_barrier: u32,
    simdgroup_barrier: u32,
}

impl Release {
    /// Whether an access was over before the fence.
    fn covers(&self, access: &Mark) -> bool {
        if access.time < self.begin || access.time > self.fence {
            return false;
        }
        let same_simdgroup = access.simdgroup() == usize::from(self.thread) / LANES;
        access.thread == self.thread
            || access.time < self.threadgroup_barrier
            || same_simdgroup && access.time < self.simdgroup_barrier
    }
}

/// What a thread learned by an acquiring fence.
struct Acquired {
    by: Mark,
    releases: Vec<Release>,
}

/// The fences and atomic operations of a dispatch.
#[derive(Default)]
pub struct Fences {
    /// By the address of an atomic variable: the releases that its value carries.
    carried: HashMap<usize, Vec<Release>>,
    /// The last releasing fence of each thread of the running threadgroup.
    released: HashMap<u16, Release>,
    /// What each thread of the running threadgroup has read from atomic variables: the address, and how many of its
    /// releases were there.
    seen: HashMap<u16, Vec<(usize, usize)>>,
    /// What threads of the running threadgroup have acquired.
    acquired: Vec<Acquired>,
}

impl Fences {
    /// A threadgroup begins; it knows nothing of the others.
    pub fn begin_threadgroup(&mut self) {
        if !self.seen.is_empty() {
            self.seen.clear();
        }
        if !self.released.is_empty() {
            self.released.clear();
        }
        self.acquired.clear();
    }

    /// A thread executes a fence at `time`, in a threadgroup that began at `begin`.
    pub fn fence(
        &mut self,
        thread: u16,
        time: u32,
        begin: u32,
        barriers: &Barriers,
        acquires: bool,
        releases: bool,
    ) {
        if acquires {
            let mut found = Vec::new();
            for (address, count) in self.seen.remove(&thread).unwrap_or_default() {
                let carried = self.carried.get(&address).map_or(&[][..], Vec::as_slice);
                found.extend_from_slice(&carried[..count.min(carried.len())]);
            }
            if !found.is_empty() {
                let by = Mark { time, site: 0, thread, atomic: 0 };
                self.acquired.push(Acquired { by, releases: found });
            }
        }
        if releases {
            let simdgroup_barrier = barriers.simdgroup[usize::from(thread) / LANES];
            let threadgroup_barrier = barriers.threadgroup;
            let release = Release { thread, begin, fence: time, threadgroup_barrier, simdgroup_barrier };
            self.released.insert(thread, release);
        }
    }

    /// A thread reads or changes an atomic variable.
    pub fn atomic(&mut self, thread: u16, address: usize, reads: bool, writes: bool, barriers: &Barriers) {
        if reads && let Some(carried) = self.carried.get(&address) {
            self.seen.entry(thread).or_default().push((address, carried.len()));
        }
        if !writes {
            return;
        }
        if !reads && let Some(carried) = self.carried.get_mut(&address) {
            // A plain store takes the place of all that was carried.
            carried.clear();
        }
        if let Some(release) = self.released.get(&thread) {
            let known = self.acquired.iter().filter(|acquired| knows(acquired, thread, barriers));
            let passed_on: Vec<Release> =
                known.flat_map(|acquired| acquired.releases.iter().copied()).collect();
            let carried = self.carried.entry(address).or_default();
            carried.extend(passed_on);
            carried.push(*release);
        }
    }

    /// Whether an access of an earlier threadgroup is over before what a thread of the running one does now.
    #[cold]
    pub fn ordered(&self, earlier: &Mark, thread: u16, barriers: &Barriers) -> bool {
        let mut known = self.acquired.iter().filter(|acquired| knows(acquired, thread, barriers));
        known.any(|acquired| acquired.releases.iter().any(|release| release.covers(earlier)))
    }
}

/// Whether a thread knows what another, or it itself, has acquired.
fn knows(acquired: &Acquired, thread: u16, barriers: &Barriers) -> bool {
    acquired.by.thread == thread || barriers.between(&acquired.by, thread)
}
