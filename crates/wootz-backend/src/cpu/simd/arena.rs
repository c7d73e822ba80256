//! Memory that the threads of a step read and write together.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Pod;
use memmap2::MmapMut;

use super::shared::SharedOut;

/// Smaller memory than this is not worth whole huge pages, which the system fills with zeros on first touch.
#[cfg(target_os = "linux")]
const HUGE_FROM: usize = 16 << 20;

/// An array in zeroed, page-aligned memory that the operating system hands out on first touch.
///
/// The parts that threads write are disjoint by construction of the executor: between two barriers an
/// element is either read by any number of threads or written by one. The accessors are therefore visible
/// to the `cpu` module only, and every caller says which part it owns.
pub struct Shared<T> {
    start: *mut T,
    len: usize,
    /// Owns the memory that `start` points to.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    map: MmapMut,
    element: PhantomData<T>,
}

// SAFETY: the memory is owned by the value and holds plain data; the discipline of access is the type's contract.
unsafe impl<T: Pod + Send> Send for Shared<T> {}
// SAFETY: as above: no two threads touch an element at once when one of them writes it.
unsafe impl<T: Pod + Sync> Sync for Shared<T> {}

impl<T: Pod> Shared<T> {
    /// `len` zeroed elements. An error where the system has no such address space.
    pub fn zeroed(len: usize) -> std::io::Result<Self> {
        let too_large = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
        let mut map = MmapMut::map_anon(bytes.ok_or_else(too_large)?.max(1))?;
        let start = map.as_mut_ptr().cast::<T>();
        Ok(Self { start, len, map, element: PhantomData })
    }

    /// Asks for huge pages, where the system has them; no effect otherwise.
    pub fn prefer_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        if self.map.len() >= HUGE_FROM {
            // A system without huge pages refuses: the memory works all the same.
            let _ = self.map.advise(memmap2::Advice::HugePage);
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// A part that no thread writes before the next barrier.
    #[inline]
    pub(in crate::cpu) fn read(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "part {range:?} of {}", self.len);
        // SAFETY: within the allocation (asserted), initialised (zeroed), page-aligned; not written meanwhile
        // by the type's contract.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    /// A part that no other thread reads or writes before the next barrier.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(in crate::cpu) fn write(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part {range:?} of {}", self.len);
        // SAFETY: as in `read`; the caller is the only one to touch this part, by the type's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

impl Shared<f32> {
    /// `rows` rows of `stride` elements from element `start` on, for threads to fill together.
    pub(in crate::cpu) fn rows_out(&self, start: usize, stride: usize, rows: usize) -> SharedOut<'_> {
        assert!(
            start <= self.len && rows.saturating_mul(stride) <= self.len - start,
            "{rows} rows of {stride}"
        );
        // SAFETY: within the allocation (asserted).
        let start = unsafe { self.start.add(start) };
        // SAFETY: the rows are part of this allocation, which outlives the result; the discipline is the same.
        unsafe { SharedOut::from_raw(start, rows, stride) }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} elements)", self.len)
    }
}
