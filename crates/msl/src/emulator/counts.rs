//! Exact counts of what a dispatch did. Kernel headers quote them.

use std::ops::AddAssign;

use super::abi::kind;

/// What a dispatch did, over all of its threads.
///
/// Bytes are counted where the compiled kernel accesses memory, so a value that the compiler keeps in a register
/// counts once; they are zero for a library that was not compiled with checks. Matrix operations, collectives and
/// barriers count once for each simdgroup or threadgroup that executes them, whatever the library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes read from buffers. Inline constants are left out.
    pub device_bytes_read: u64,
    /// Bytes written to buffers. An atomic operation counts as a read and a write.
    pub device_bytes_written: u64,
    /// Bytes read from threadgroup memory.
    pub threadgroup_bytes_read: u64,
    /// Bytes written to threadgroup memory.
    pub threadgroup_bytes_written: u64,
    /// `simdgroup_multiply` and `simdgroup_multiply_accumulate`, each 8x8x8.
    pub matrix_multiplies: u64,
    /// `simdgroup_load` of an 8x8 matrix.
    pub matrix_loads: u64,
    /// `simdgroup_store` of an 8x8 matrix.
    pub matrix_stores: u64,
    /// Sums, shuffles, votes and scans within a simdgroup.
    pub simd_collectives: u64,
    /// `simdgroup_barrier`.
    pub simdgroup_barriers: u64,
    /// `threadgroup_barrier`.
    pub threadgroup_barriers: u64,
    /// Atomic operations, for each thread.
    pub atomics: u64,
}

impl Counts {
    /// Counts what a simdgroup did together.
    pub(super) fn add_collective(&mut self, what: u32) {
        let counter = match what {
            kind::MATRIX_MULTIPLY => &mut self.matrix_multiplies,
            kind::MATRIX_LOAD => &mut self.matrix_loads,
            kind::MATRIX_STORE => &mut self.matrix_stores,
            _ if kind::barrier_flags(what).is_some() => &mut self.simdgroup_barriers,
            _ => &mut self.simd_collectives,
        };
        *counter += 1;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.device_bytes_read += other.device_bytes_read;
        self.device_bytes_written += other.device_bytes_written;
        self.threadgroup_bytes_read += other.threadgroup_bytes_read;
        self.threadgroup_bytes_written += other.threadgroup_bytes_written;
        self.matrix_multiplies += other.matrix_multiplies;
        self.matrix_loads += other.matrix_loads;
        self.matrix_stores += other.matrix_stores;
        self.simd_collectives += other.simd_collectives;
        self.simdgroup_barriers += other.simdgroup_barriers;
        self.threadgroup_barriers += other.threadgroup_barriers;
        self.atomics += other.atomics;
    }
}
