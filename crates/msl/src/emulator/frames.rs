//! The calls that led to a place in a kernel, read off the stack.
//!
//! With frame pointers a stack is a chained list: at each frame's address lies that of the caller's frame, and above it
//! the address to return to. That holds on x86-64 and on 64-bit Arm. Libraries without checks have no frame
//! pointers; the chain then ends somewhere, but never outside of the stack.

use std::ops::Range;

/// Walks a chain of frames, innermost first, and yields the return addresses.
pub struct Frames {
    at: *const usize,
    stack: Range<usize>,
}

impl Frames {
    /// The frames from `frame` outwards.
    ///
    /// # Safety
    ///
    /// `stack` is the running fiber's: all of it may be read.
    pub unsafe fn new(frame: *const usize, stack: Range<usize>) -> Self {
        Self { at: frame, stack }
    }
}

impl Iterator for Frames {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let address = self.at as usize;
        let words = 2 * size_of::<usize>();
        let inside = address >= self.stack.start && address < self.stack.end.saturating_sub(words);
        if !inside || !self.at.is_aligned() {
            return None;
        }
        // SAFETY: both words lie in the stack, which may be read by the contract of `new`.
        let (outer, returns_to) = unsafe { (*self.at as *const usize, *self.at.add(1)) };
        // A chain that does not lead upwards has come to its end.
        self.at = if outer > self.at { outer } else { std::ptr::null() };
        Some(returns_to)
    }
}

/// Calls that a [`CallPath`] remembers. Kernels rarely nest deeper.
const DEPTH: usize = 6;

/// The innermost calls that led to a place in a kernel. Two threads do the same thing at the same place only if they
/// also came there the same way.
#[derive(Clone, Copy, Default)]
pub struct CallPath([usize; DEPTH]);

impl CallPath {
    /// The calls within the library, of which `is_kernel` knows the addresses.
    pub fn new(frames: Frames, is_kernel: impl Fn(usize) -> bool) -> Self {
        let mut path = [0; DEPTH];
        for (slot, address) in path.iter_mut().zip(frames.take_while(|address| is_kernel(*address))) {
            *slot = address;
        }
        Self(path)
    }

    /// Whether all addresses are the same. (Every lane asks at every collective, and a derived comparison would call
    /// the C library.)
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |different, (a, b)| different | (a ^ b)) == 0
    }

    /// Return addresses, innermost first; zero stands for none.
    pub fn addresses(&self) -> &[usize] {
        &self.0
    }
}
