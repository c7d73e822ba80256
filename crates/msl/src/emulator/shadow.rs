//! Shadow memory: for each few bytes, who wrote them last and who has read them since.

use bytemuck::Zeroable;
use bytemuck::allocation::try_zeroed_vec;

use super::abi::LANES;
use super::fault::FaultKind;
use super::mistake::Mistake;
use super::order::{Clock, Mark, Space};

/// How memory is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Atomic { reads: bool, writes: bool },
}

impl Access {
    /// Whether the value that was there matters.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Atomic { reads: true, .. })
    }

    /// Whether the value may change.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Atomic { writes: true, .. })
    }

    /// Whether it is an atomic operation.
    pub fn is_atomic(self) -> bool {
        matches!(self, Self::Atomic { .. })
    }
}

/// What is known of the bytes of one granule. Two readers are enough to remember: see [`Look::remember`].
#[derive(Clone, Copy, Default, Zeroable)]
#[repr(C)]
struct Cell {
    write: Mark,
    reads: [Mark; 2],
}

/// Why an access is refused.
#[derive(Clone, Copy)]
pub enum Conflict {
    /// Another thread's access is not ordered with it.
    Race { offset: usize, earlier: Mark, earlier_wrote: bool },
    /// Nobody has written there.
    Uninitialised { offset: usize },
}

impl Conflict {
    /// Where the bytes lie in the shadowed range.
    pub fn offset(&self) -> usize {
        match *self {
            Self::Race { offset, .. } | Self::Uninitialised { offset } => offset,
        }
    }
}

/// Bytes that a granule has at first.
const FIRST_GRANULE: usize = 4;

/// The shadow of a range of memory.
///
/// It begins with a cell for four bytes, and becomes finer when an access needs it: each cell is then copied for the
/// parts of its granule. The cells are zero at first, and memory that is zero costs nothing until it is touched.
pub struct Shadow {
    space: Space,
    bytes: usize,
    granule: usize,
    cells: Vec<Cell>,
    touched: bool,
    /// Whether a read has to find something written.
    must_be_written: bool,
}

impl Shadow {
    /// The shadow of so many bytes that nobody has accessed.
    pub fn new(space: Space, bytes: usize, must_be_written: bool) -> Result<Self, Box<Mistake>> {
        let cells = cells(bytes, FIRST_GRANULE)?;
        Ok(Self { space, bytes, granule: FIRST_GRANULE, cells, touched: false, must_be_written })
    }

    /// Looks at an access of bytes that lie in the range, and remembers it. `mark` says who and when.
    #[inline]
    pub fn access(
        &mut self,
        clock: &Clock,
        offset: usize,
        bytes: usize,
        mark: Mark,
        what: Access,
    ) -> Result<Option<Conflict>, Box<Mistake>> {
        if !(offset | bytes).is_multiple_of(self.granule) {
            self.refine(1 << (offset | bytes).trailing_zeros())?;
        }
        self.touched = true;
        // Threadgroup memory is new for every threadgroup.
        let since = if self.space == Space::Threadgroup { clock.begin() } else { 1 };
        let look =
            Look { clock, space: self.space, since, mark, what, must_be_written: self.must_be_written };
        let first = offset / self.granule;
        for (index, cell) in self.cells[first..first + bytes / self.granule].iter_mut().enumerate() {
            if let Some(found) = look.visit(cell) {
                return Ok(Some(found.at((first + index) * self.granule)));
            }
        }
        Ok(None)
    }

    #[cold]
    fn refine(&mut self, granule: usize) -> Result<(), Box<Mistake>> {
        let parts = self.granule / granule;
        let mut finer = cells(self.bytes, granule)?;
        if self.touched {
            for (part, cell) in finer.iter_mut().enumerate() {
                *cell = self.cells[part / parts];
            }
        }
        self.cells = finer;
        self.granule = granule;
        Ok(())
    }
}

fn cells(bytes: usize, granule: usize) -> Result<Vec<Cell>, Box<Mistake>> {
    let count = bytes.div_ceil(granule);
    try_zeroed_vec(count).map_err(|()| {
        let text = format!("the system has no memory for the shadow of {bytes} bytes");
        Mistake::new(FaultKind::Resources, text)
    })
}

/// One look at a few cells.
struct Look<'a> {
    clock: &'a Clock,
    space: Space,
    /// Marks before this time are of memory that is gone.
    since: u32,
    mark: Mark,
    what: Access,
    must_be_written: bool,
}

/// A [`Conflict`] in a cell.
enum Found {
    Race { earlier: Mark, earlier_wrote: bool },
    Uninitialised,
}

impl Found {
    fn at(self, offset: usize) -> Conflict {
        match self {
            Self::Race { earlier, earlier_wrote } => Conflict::Race { offset, earlier, earlier_wrote },
            Self::Uninitialised => Conflict::Uninitialised { offset },
        }
    }
}

impl Look<'_> {
    #[inline]
    fn visit(&self, cell: &mut Cell) -> Option<Found> {
        if self.what.reads() && self.must_be_written && !self.counts(&cell.write) {
            return Some(Found::Uninitialised);
        }
        if self.races_with(&cell.write) {
            return Some(Found::Race { earlier: cell.write, earlier_wrote: true });
        }
        if !self.what.writes() {
            self.remember(&mut cell.reads);
            return None;
        }
        if let Some(earlier) = cell.reads.iter().find(|read| self.races_with(read)) {
            return Some(Found::Race { earlier: *earlier, earlier_wrote: false });
        }
        *cell = Cell { write: self.mark, reads: [Mark::NONE; 2] };
        None
    }

    /// Whether a mark is of this memory at all.
    #[inline]
    fn counts(&self, mark: &Mark) -> bool {
        mark.time >= self.since
    }

    #[inline]
    fn races_with(&self, earlier: &Mark) -> bool {
        self.counts(earlier)
            && !(earlier.atomic != 0 && self.mark.atomic != 0)
            && !self.clock.ordered(self.space, earlier, self.mark.thread)
    }

    /// Adds a reader.
    ///
    /// A later write is a race if any reader is not ordered before it. Two readers stand for all: one that is ordered
    /// before the new reader is not needed, for whatever comes after the new one comes after it too. Of those that
    /// remain it is enough to keep two of different simdgroups. A writer belongs to one simdgroup at most, and only
    /// a barrier of the whole threadgroup would order it with the other, and with all the rest.
    #[inline]
    fn remember(&self, reads: &mut [Mark; 2]) {
        let gone = |mark: &Mark| !self.counts(mark) || self.clock.ordered(self.space, mark, self.mark.thread);
        let [first, second] = reads;
        if gone(first) {
            *first = self.mark;
            if gone(second) {
                *second = Mark::NONE;
            }
        } else if gone(second) || self.stands_for_more(first, second) {
            *second = self.mark;
        }
    }

    /// Whether the new reader tells more than the second of two that are not ordered with it.
    fn stands_for_more(&self, first: &Mark, second: &Mark) -> bool {
        let begin = self.clock.begin();
        let group = |mark: &Mark| (mark.time >= begin).then_some(usize::from(mark.thread) / LANES);
        let plain_for_atomic = second.atomic != 0 && self.mark.atomic == 0;
        plain_for_atomic || group(first) == group(second) && group(&self.mark) != group(first)
    }
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
