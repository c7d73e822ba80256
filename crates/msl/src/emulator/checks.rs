//! What watches a running kernel: every access of memory is looked at before it happens.

use std::collections::HashMap;
use std::sync::Arc;

use super::abi::LANES;
use super::counts::Counts;
use super::dispatch::position_in_grid;
use super::fault::FaultKind;
use super::frames::{CallPath, Frames};
use super::locate::Debugger;
use super::memory::{ThreadgroupMemory, mapped_bytes};
use super::mistake::Mistake;
use super::order::{Clock, Mark, Space};
use super::shadow::{Access, Conflict, Shadow};
use super::staging::{Region, Staging};
use super::worker::Worker;

/// What watches the threads of one dispatch.
pub struct Checker {
    clock: Clock,
    /// The buffers.
    pub staging: Staging,
    threadgroup: Shadow,
    debugger: Arc<Debugger>,
    /// Threadgroups in the grid.
    threadgroups: [u32; 3],
    /// How the first lane of each simdgroup came to the collective that it waits at.
    at_collective: [CallPath; LANES],
    /// How the first thread came to the barrier that it waits at.
    at_barrier: CallPath,
    /// Pairs of addresses that were looked up: whether they are one place of the source.
    same: HashMap<(usize, usize), bool>,
}

impl Checker {
    pub fn new(
        staging: Staging,
        debugger: Arc<Debugger>,
        threadgroups: [u32; 3],
    ) -> Result<Self, Box<Mistake>> {
        let threadgroup = Shadow::new(Space::Threadgroup, mapped_bytes(), true)?;
        Ok(Self {
            clock: Clock::new(),
            staging,
            threadgroup,
            debugger,
            threadgroups,
            at_collective: [CallPath::default(); LANES],
            at_barrier: CallPath::default(),
            same: HashMap::new(),
        })
    }

    pub fn begin_threadgroup(&mut self, number: u64) {
        self.clock.begin_threadgroup(number);
    }

    pub fn threadgroup_barrier(&mut self, flags: u32) {
        self.clock.threadgroup_barrier(flags);
    }

    pub fn simdgroup_barrier(&mut self, group: usize, flags: u32) {
        self.clock.simdgroup_barrier(group, flags);
    }

    pub fn fence(&mut self, thread: usize, flags: u32, order: u32, scope: u32) {
        let of_device = flags & super::abi::memory_flags::DEVICE != 0 && scope == fence::DEVICE_SCOPE;
        if of_device {
            let acquires = matches!(order, fence::ACQUIRE | fence::ACQUIRE_RELEASE | fence::SEQUENTIAL);
            let releases = matches!(order, fence::RELEASE | fence::ACQUIRE_RELEASE | fence::SEQUENTIAL);
            self.clock.fence(thread as u16, acquires, releases);
        }
    }

    /// The calls in the kernel that led to a place.
    #[inline]
    pub fn path(&self, frames: Frames) -> CallPath {
        CallPath::new(frames, |address| self.debugger.holds(address))
    }

    /// The first lane of a simdgroup comes to a collective.
    #[inline]
    pub fn first_at_collective(&mut self, group: usize, path: CallPath) {
        self.at_collective[group] = path;
    }

    /// Another lane comes to a collective: whether it came the same way.
    #[inline]
    pub fn joins_collective(&mut self, group: usize, path: &CallPath) -> bool {
        let first = self.at_collective[group];
        first.is(path) || self.same_path(&first, path)
    }

    /// The first thread comes to a barrier.
    pub fn first_at_barrier(&mut self, path: CallPath) {
        self.at_barrier = path;
    }

    /// Another thread comes to a barrier: whether it came the same way.
    pub fn joins_barrier(&mut self, path: &CallPath) -> bool {
        let first = self.at_barrier;
        first.is(path) || self.same_path(&first, path)
    }

    /// Whether two paths are one in the source. The compiler may have copied a call, when it unrolled a loop.
    #[cold]
    fn same_path(&mut self, a: &CallPath, b: &CallPath) -> bool {
        let mut pairs = a.addresses().iter().zip(b.addresses());
        pairs.all(|(a, b)| {
            let debugger = &self.debugger;
            a == b || *self.same.entry((*a, *b)).or_insert_with(|| debugger.same_place(*a, *b))
        })
    }
}

/// Numbers of `memory_order` and `thread_scope` in the prelude.
mod fence {
    pub const ACQUIRE: u32 = 1;
    pub const RELEASE: u32 = 2;
    pub const ACQUIRE_RELEASE: u32 = 3;
    pub const SEQUENTIAL: u32 = 4;
    pub const DEVICE_SCOPE: u32 = 3;
}

/// Looks at an access before it happens. `site` is the return address of the kernel's call.
#[inline]
pub fn inspect(
    worker: &mut Worker,
    address: usize,
    bytes: usize,
    what: Access,
    site: usize,
) -> Result<(), Box<Mistake>> {
    let Some(checker) = &mut worker.checker else { return Ok(()) };
    if bytes == 0 {
        return Ok(());
    }
    let access = Inspected {
        address,
        bytes,
        what,
        mark: Mark {
            time: checker.clock.now(),
            site: checker.debugger.offset(site),
            thread: worker.threadgroup.current() as u16,
            atomic: what.is_atomic().into(),
        },
    };
    if checker.staging.contains(address) {
        return checker.device(&access, &mut worker.counts);
    }
    if let Some(offset) = worker.memory.offset(address) {
        return checker.threadgroup(&access, offset, &worker.memory, &mut worker.counts);
    }
    let constant = checker.debugger.holds(address) && !what.writes();
    let own = worker.stack().contains(&address);
    if own || constant || worker.holds(address) { Ok(()) } else { Err(wild(&access)) }
}

/// An access that is looked at.
struct Inspected {
    address: usize,
    bytes: usize,
    what: Access,
    mark: Mark,
}

impl Inspected {
    fn verb(&self) -> &'static str {
        match self.what {
            Access::Read => "reads",
            Access::Write => "writes",
            Access::Atomic { .. } => "atomically accesses",
        }
    }
}

#[cold]
fn wild(access: &Inspected) -> Box<Mistake> {
    let (verb, bytes, address) = (access.verb(), access.bytes, access.address);
    let hint = if address < 4096 { " (is an argument not bound?)" } else { "" };
    let text = format!("the kernel {verb} {bytes} bytes at {address:#x}, which belongs to no argument{hint}");
    Mistake::new(FaultKind::WildAccess, text)
}

impl Checker {
    fn device(&mut self, access: &Inspected, counts: &mut Counts) -> Result<(), Box<Mistake>> {
        let Some(region) = self.staging.region(access.address) else { return Err(wild(access)) };
        let offset = access.address.wrapping_sub(region.start);
        if offset >= region.bytes || access.bytes > region.bytes - offset {
            return Err(outside(region, offset as isize, access));
        }
        if !region.inline {
            let bytes = access.bytes as u64;
            counts.device_bytes_read += if access.what.reads() { bytes } else { 0 };
            counts.device_bytes_written += if access.what.writes() { bytes } else { 0 };
        }
        let Some(shadow) = &mut region.shadow else {
            return if access.what.writes() { Err(read_only(region, offset, access)) } else { Ok(()) };
        };
        if let Access::Atomic { reads, writes } = access.what {
            self.clock.atomic(access.mark.thread, access.address, reads, writes);
        }
        match shadow.access(&self.clock, offset, access.bytes, access.mark, access.what)? {
            None if access.what.writes() && !region.may_write(offset, access.bytes) => {
                Err(read_only(region, offset, access))
            }
            None => Ok(()),
            Some(conflict) => {
                let at = conflict.offset();
                let place = region.place(at as isize);
                let name = format!("buffer({}) `{}` at byte {}", place.index, place.name, at - place.offset);
                Err(self.explain(access, &conflict, &name))
            }
        }
    }

    fn threadgroup(
        &mut self,
        access: &Inspected,
        offset: usize,
        memory: &ThreadgroupMemory,
        counts: &mut Counts,
    ) -> Result<(), Box<Mistake>> {
        let Some(variable) = memory.holding(offset, access.bytes) else {
            return Err(outside_variable(memory, offset, access));
        };
        let bytes = access.bytes as u64;
        counts.threadgroup_bytes_read += if access.what.reads() { bytes } else { 0 };
        counts.threadgroup_bytes_written += if access.what.writes() { bytes } else { 0 };
        match self.threadgroup.access(&self.clock, offset, access.bytes, access.mark, access.what)? {
            None => Ok(()),
            Some(conflict) => {
                let name = format!("{} at byte {}", variable.name(), conflict.offset() - variable.offset);
                Err(self.explain(access, &conflict, &name))
            }
        }
    }

    #[cold]
    fn explain(&self, access: &Inspected, conflict: &Conflict, name: &str) -> Box<Mistake> {
        let in_device = self.staging.contains(access.address);
        let (earlier, earlier_wrote) = match *conflict {
            Conflict::Race { earlier, earlier_wrote, .. } => (earlier, earlier_wrote),
            Conflict::Uninitialised { .. } => {
                let kind = if in_device {
                    FaultKind::UninitialisedDeviceRead
                } else {
                    FaultKind::UninitialisedThreadgroupRead
                };
                return Mistake::new(kind, format!("reads {name}, where no thread has written"));
            }
        };
        let elsewhere = earlier.time < self.clock.begin();
        let kind = match (in_device, elsewhere) {
            (false, _) => FaultKind::ThreadgroupRace,
            (true, false) => FaultKind::DeviceRace,
            (true, true) => FaultKind::CrossThreadgroupRace,
        };
        let what = match (earlier.atomic != 0, earlier_wrote) {
            (true, _) => "atomically accessed",
            (false, true) => "wrote",
            (false, false) => "read",
        };
        let other = if elsewhere {
            let [x, y, z] = position_in_grid(self.clock.threadgroup_of(&earlier), self.threadgroups);
            format!("thread {} of threadgroup ({x}, {y}, {z}) {what}", earlier.thread)
        } else {
            format!("thread {} {what}", earlier.thread)
        };
        let missing = match kind {
            FaultKind::CrossThreadgroupRace => "no fence and atomic operation order them",
            _ => "no barrier that names this memory lies between",
        };
        let text = format!("race on {name}: {} what {other}; {missing}", access.verb());
        Mistake::new(kind, text).with_other(self.debugger.address(earlier.site))
    }
}

impl Region {
    /// Whether the kernel may write these bytes: in a region of several arguments, not all may be for writing.
    fn may_write(&self, offset: usize, bytes: usize) -> bool {
        let holds = |place: &&super::staging::Place| {
            offset >= place.offset && offset + bytes <= place.offset + place.bytes
        };
        self.places.iter().filter(holds).any(|place| place.writable)
    }
}

#[cold]
fn outside(region: &Region, offset: isize, access: &Inspected) -> Box<Mistake> {
    let place = region.place(offset);
    let (verb, bytes, length) = (access.verb(), access.bytes, place.bytes);
    let at = offset - place.offset as isize;
    let whereabouts =
        if at < 0 { format!("{} bytes before the start of", -at) } else { format!("at byte {at} of") };
    let text = format!(
        "the kernel {verb} {bytes} bytes {whereabouts} buffer({}) `{}`, which has {length} bytes",
        place.index, place.name
    );
    Mistake::new(FaultKind::OutOfBoundsDevice, text)
}

#[cold]
fn read_only(region: &Region, offset: usize, access: &Inspected) -> Box<Mistake> {
    let place = region.place(offset as isize);
    let text = format!(
        "the kernel {} byte {} of buffer({}) `{}`, which is bound for reading",
        access.verb(),
        offset - place.offset,
        place.index,
        place.name
    );
    Mistake::new(FaultKind::ReadOnlyWrite, text)
}

#[cold]
fn outside_variable(memory: &ThreadgroupMemory, offset: usize, access: &Inspected) -> Box<Mistake> {
    let (verb, bytes) = (access.verb(), access.bytes);
    let text = match memory.nearest(offset) {
        Some(variable) => {
            let at = offset as isize - variable.offset as isize;
            let (name, length) = (variable.name(), variable.bytes);
            format!(
                "the kernel {verb} {bytes} bytes at byte {at} of {name} in threadgroup memory, which has {length} bytes"
            )
        }
        None => format!("the kernel {verb} {bytes} bytes of threadgroup memory, but has none"),
    };
    Mistake::new(FaultKind::OutOfBoundsThreadgroup, text)
}
