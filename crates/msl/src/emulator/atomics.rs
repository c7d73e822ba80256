//! The atomic operations of Metal, on memory that other workers may use at the same time.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// An operation as the prelude numbers it.
#[derive(Clone, Copy)]
pub struct Operation {
    code: u32,
    float: bool,
    signed: bool,
}

impl Operation {
    /// Takes a number of the prelude apart: the operation, and what the bits stand for.
    pub fn new(number: u32) -> Self {
        Self { code: number & 0xff, float: number & 0x100 != 0, signed: number & 0x200 != 0 }
    }

    /// Whether memory may change.
    pub fn writes(self) -> bool {
        self.code != 0
    }

    /// Whether the old value matters.
    pub fn reads(self) -> bool {
        self.code != 1
    }

    /// The new value for an old one; all are the low `bytes` bytes of a word.
    fn apply(self, bytes: u32, old: u64, value: u64, expected: u64) -> u64 {
        match self.code {
            0 => old,
            1 | 2 => value,
            3 if self.float => float(old, value, |a, b| a + b),
            3 => old.wrapping_add(value),
            4 if self.float => float(old, value, |a, b| a - b),
            4 => old.wrapping_sub(value),
            5 => {
                if self.less(bytes, value, old) {
                    value
                } else {
                    old
                }
            }
            6 => {
                if self.less(bytes, old, value) {
                    value
                } else {
                    old
                }
            }
            7 => old & value,
            8 => old | value,
            9 => old ^ value,
            10 => {
                if old == expected {
                    value
                } else {
                    old
                }
            }
            _ => old,
        }
    }

    fn less(self, bytes: u32, a: u64, b: u64) -> bool {
        let signed = |word: u64| if bytes == 8 { word as i64 } else { i64::from(word as u32 as i32) };
        match (self.float, self.signed) {
            (true, _) => f32::from_bits(a as u32) < f32::from_bits(b as u32),
            (false, true) => signed(a) < signed(b),
            (false, false) => a < b,
        }
    }
}

fn float(a: u64, b: u64, combine: impl Fn(f32, f32) -> f32) -> u64 {
    u64::from(combine(f32::from_bits(a as u32), f32::from_bits(b as u32)).to_bits())
}

/// Changes memory in one step, and returns what it held. Nothing for a size that has no atomics.
///
/// # Safety
///
/// The address is valid for reads and writes of `bytes` bytes, a multiple of them, and nobody accesses it in another
/// way meanwhile.
pub unsafe fn change(
    operation: Operation,
    bytes: u32,
    address: *mut u8,
    value: u64,
    expected: u64,
) -> Option<u64> {
    let new = |old: u64| Some(operation.apply(bytes, old, value, expected));
    let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
    // SAFETY: by this function's contract.
    let result = unsafe {
        match bytes {
            1 => AtomicU8::from_ptr(address)
                .fetch_update(success, failure, |old| new(old.into()).map(|new| new as u8))
                .map(u64::from)
                .map_err(u64::from),
            4 => AtomicU32::from_ptr(address.cast())
                .fetch_update(success, failure, |old| new(old.into()).map(|new| new as u32))
                .map(u64::from)
                .map_err(u64::from),
            8 => AtomicU64::from_ptr(address.cast()).fetch_update(success, failure, new),
            _ => return None,
        }
    };
    // The closure always has a new value, so both cases hold the old one.
    result.map_or_else(Some, Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(number: u32, old: u32, value: u32) -> (u32, u32) {
        let mut word = old;
        // SAFETY: the address is that of a local variable.
        let seen =
            unsafe { change(Operation::new(number), 4, (&raw mut word).cast(), value.into(), 0).unwrap() };
        (seen as u32, word)
    }

    #[test]
    fn operations_follow_the_type() {
        assert_eq!(changed(3, 5, u32::MAX), (5, 4));
        assert_eq!(changed(5, 5, u32::MAX), (5, 5));
        assert_eq!(changed(5 | 0x200, 5, u32::MAX), (5, u32::MAX));
        assert_eq!(changed(6 | 0x200, 5, u32::MAX), (5, 5));
        assert_eq!(
            changed(3 | 0x100, 1.5f32.to_bits(), 2.0f32.to_bits()),
            (1.5f32.to_bits(), 3.5f32.to_bits())
        );
        assert_eq!(
            changed(6 | 0x100, (-1.5f32).to_bits(), 2f32.to_bits()),
            ((-1.5f32).to_bits(), 2f32.to_bits())
        );
        assert_eq!(changed(1, 1, 9), (1, 9));
        assert_eq!(changed(0, 1, 9), (1, 1));
    }
}
