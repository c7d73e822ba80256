//! What passes between a compiled kernel and the emulator: the shapes that `glue.cpp` and the prelude declare too.

use std::ffi::{c_char, c_int, c_void};

/// Lanes of a simdgroup. Apple's GPUs have no other width, and kernels here may count on it.
pub const LANES: usize = 32;
/// Buffer and threadgroup-memory indices that a kernel may use.
pub const SLOTS: usize = 32;
/// Bytes that one lane can hand to the others in one collective.
pub const EXCHANGE_BYTES: usize = 128;

/// The values of a thread's position, by the number that the lowering gives each attribute.
pub mod position {
    /// `thread_position_in_grid`.
    pub const IN_GRID: usize = 0;
    /// `thread_position_in_threadgroup`.
    pub const IN_THREADGROUP: usize = 1;
    /// `threadgroup_position_in_grid`.
    pub const THREADGROUP: usize = 2;
    /// `threads_per_threadgroup`.
    pub const THREADS_PER_THREADGROUP: usize = 3;
    /// `threadgroups_per_grid`.
    pub const THREADGROUPS_PER_GRID: usize = 4;
    /// `threads_per_grid`.
    pub const THREADS_PER_GRID: usize = 5;
    /// `thread_index_in_threadgroup`.
    pub const INDEX_IN_THREADGROUP: usize = 6;
    /// `simdgroup_index_in_threadgroup`.
    pub const SIMDGROUP: usize = 7;
    /// `thread_index_in_simdgroup`.
    pub const LANE: usize = 8;
    /// `simdgroups_per_threadgroup`.
    pub const SIMDGROUPS: usize = 9;
    /// `threads_per_simdgroup`.
    pub const THREADS_PER_SIMDGROUP: usize = 10;
    /// `dispatch_threads_per_threadgroup`.
    pub const DISPATCH_THREADS: usize = 11;
    /// `dispatch_simdgroups_per_threadgroup`.
    pub const DISPATCH_SIMDGROUPS: usize = 12;
    /// `thread_execution_width`.
    pub const EXECUTION_WIDTH: usize = 13;
    /// `quadgroup_index_in_threadgroup`.
    pub const QUADGROUP: usize = 14;
    /// `thread_index_in_quadgroup`.
    pub const LANE_IN_QUADGROUP: usize = 15;
    /// `grid_size`. (`grid_origin`, number 16, is always zero.)
    pub const GRID_SIZE: usize = 17;
    /// How many there are.
    pub const COUNT: usize = 18;
}

/// What a thread is started with.
#[repr(C)]
#[derive(Clone)]
pub struct Launch {
    /// Address of each buffer argument, shared by all threads of a dispatch.
    pub buffers: *const [*mut c_void; SLOTS],
    /// Address of each threadgroup argument, shared by all threads of a threadgroup.
    pub threadgroup: *const [*mut c_void; SLOTS],
    /// The values of [`position`]; the fourth number of each is unused.
    pub values: [[u32; 4]; position::COUNT],
}

/// Where the lanes of a simdgroup lay down their values for each other.
#[repr(C)]
#[derive(Clone)]
pub struct Exchange {
    /// Bit l is set if lane l took part.
    pub lanes: u64,
    padding: u64,
    /// One value a lane.
    pub values: [[u8; EXCHANGE_BYTES]; LANES],
}

impl Exchange {
    /// An exchange that no lane has reached.
    pub const EMPTY: Self = Self { lanes: 0, padding: 0, values: [[0; EXCHANGE_BYTES]; LANES] };
}

/// The function behind an entry point.
pub type Entry = unsafe extern "C" fn(*const Launch);

/// Numbers that the prelude gives to what a simdgroup does together.
pub mod kind {
    /// Loads an 8x8 matrix.
    pub const MATRIX_LOAD: u32 = 0x50;
    /// Stores an 8x8 matrix.
    pub const MATRIX_STORE: u32 = 0x51;
    /// Multiplies two 8x8 matrices and adds a third.
    pub const MATRIX_MULTIPLY: u32 = 0x52;
    /// A `simdgroup_barrier`; its memory flags are added.
    pub const SIMDGROUP_BARRIER: u32 = 0x60;

    /// The memory flags, if this is a `simdgroup_barrier`.
    pub fn barrier_flags(kind: u32) -> Option<u32> {
        (kind & !0xf == SIMDGROUP_BARRIER).then_some(kind & 0xf)
    }

    /// The name that the kernel's author knows it by.
    pub fn name(kind: u32) -> &'static str {
        match kind {
            0x10 => "simd_sum",
            0x11 => "simd_product",
            0x12 => "simd_max",
            0x13 => "simd_min",
            0x14 => "simd_and",
            0x15 => "simd_or",
            0x16 => "simd_xor",
            0x20..=0x2f => "a simd_prefix operation",
            0x30 => "simd_shuffle",
            0x31 => "simd_shuffle_xor",
            0x32 => "simd_shuffle_down",
            0x33 => "simd_shuffle_up",
            0x34 => "simd_broadcast",
            0x35 => "simd_shuffle_rotate_down",
            0x36 => "simd_shuffle_rotate_up",
            0x37 => "simd_broadcast_first",
            0x38..=0x3f => "a quad_shuffle",
            0x40 => "simd_ballot",
            0x41 => "simd_all",
            0x42 => "simd_any",
            0x43 => "simd_is_first",
            MATRIX_LOAD => "simdgroup_load",
            MATRIX_STORE => "simdgroup_store",
            MATRIX_MULTIPLY => "simdgroup_multiply_accumulate",
            0x53 => "matmul2d::run",
            0x54 => "cooperative_tensor::store",
            0x55 => "cooperative_tensor::load",
            0x56 => "a load of matrix blocks",
            _ if barrier_flags(kind).is_some() => "simdgroup_barrier",
            _ => "a simdgroup operation",
        }
    }
}

/// Bits of `mem_flags`.
pub mod memory_flags {
    /// `mem_device`.
    pub const DEVICE: u32 = 1;
    /// `mem_threadgroup`.
    pub const THREADGROUP: u32 = 2;
}

/// Why a kernel stopped itself, by the number in `glue.cpp`. Zero comes with a message of the prelude's.
pub mod stop {
    /// An index outside of an array.
    pub const ARRAY_INDEX: u32 = 1;
    /// An integer division by zero, or one whose result does not fit.
    pub const DIVISION: u32 = 2;
}

/// The functions that a kernel library calls, in `glue.cpp`'s order.
#[repr(C)]
pub struct Table {
    pub threadgroup_variable: unsafe extern "C" fn(u32, u64, *const c_char, *const usize) -> *mut c_void,
    pub collective: unsafe extern "C" fn(u32, *const u8, u32, *const usize) -> *mut Exchange,
    pub lane: extern "C" fn() -> u32,
    pub threadgroup_barrier: unsafe extern "C" fn(u32, *const usize),
    pub fence: unsafe extern "C" fn(u32, u32, u32, *const usize),
    pub atomic: unsafe extern "C" fn(u32, u32, *mut c_void, u64, u64, *mut u64, *const usize) -> u32,
    pub constant_is_defined: extern "C" fn(c_int) -> c_int,
    pub fail: unsafe extern "C" fn(u32, *const c_char, *const usize),
    pub access: unsafe extern "C" fn(usize, usize, u32, *const usize),
    pub thread: extern "C" fn() -> u32,
}
