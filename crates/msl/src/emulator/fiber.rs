//! Fibers: many stacks on one operating-system thread, and the switch between them.
//!
//! A GPU thread has to stop in the middle of a function when it comes to a barrier, and go on after the others
//! have come there too. So each runs on a stack of its own, and waiting is a switch to another stack: the registers
//! that a function must preserve are pushed, the stack pointer is exchanged, and the other fiber's are popped. A
//! function call's rules make everything else the caller's business already.

use std::arch::naked_asm;
use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Bytes of a fiber's stack. Kernels keep small arrays in it, and a report is written on it. Pages that nobody
/// touches cost no memory. `glue.cpp` knows the number.
const STACK_BYTES: usize = 128 * 1024;
/// The lowest page of each stack can't be touched, so that an overflow is a crash and not a riddle.
const GUARD_BYTES: usize = 16 * 1024;

/// Where a fiber that does not run has left off: its stack pointer.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Suspended(*mut c_void);

impl Suspended {
    /// Nothing to return to.
    pub const NOWHERE: Self = Self(ptr::null_mut());

    /// Whether there is nothing to return to.
    pub fn is_nowhere(self) -> bool {
        self.0.is_null()
    }
}

/// What a fresh fiber runs. It takes nothing (what it needs is in the worker), and must not return.
pub type Body = unsafe extern "C" fn() -> !;

/// Leaves the running fiber, whose state is written to `from`, and goes on where `to` left off.
///
/// # Safety
///
/// `to` was written by an earlier call, or by [`Stacks::prepare`], and was not used since; its stack is still
/// mapped. Whoever abandons a fiber (never switches back to it) also abandons its values: nothing is dropped.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut Suspended, to: Suspended) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// Leaves the running fiber, whose state is written to `from`, and goes on where `to` left off.
///
/// # Safety
///
/// `to` was written by an earlier call, or by [`Stacks::prepare`], and was not used since; its stack is still
/// mapped. Whoever abandons a fiber (never switches back to it) also abandons its values: nothing is dropped.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut Suspended, to: Suspended) {
    naked_asm!(
        "stp x19, x20, [sp, #-160]!",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp x29, x30, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x19, x20, [sp], #160",
        "ret",
    )
}

/// Words that [`switch`] pops, the address to go on at among them, and which of them that is.
#[cfg(target_arch = "x86_64")]
const SAVED: (usize, usize) = (7, 6);
#[cfg(target_arch = "aarch64")]
const SAVED: (usize, usize) = (20, 11);

/// Memory from the operating system, which is zero and costs nothing until it is touched.
pub struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping owns its memory alone, like a box.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps memory that can be read and written.
    pub fn new(bytes: usize) -> io::Result<Self> {
        Self::with(bytes, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// Takes addresses that no access may touch until [`allow`](Self::allow) opens a part of them.
    pub fn reserved(bytes: usize) -> io::Result<Self> {
        Self::with(bytes, ProtFlags::empty())
    }

    fn with(bytes: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new private mapping at an address of the system's choice touches nothing that exists.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE | MapFlags::NORESERVE)
        }?;
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("memory was mapped at zero"))?;
        Ok(Self { start, bytes })
    }

    /// Opens whole pages of a reserved mapping for reading and writing.
    pub fn allow(&self, offset: usize, bytes: usize) -> io::Result<()> {
        self.protect(offset, bytes, MprotectFlags::READ | MprotectFlags::WRITE)
    }

    /// Closes whole pages again.
    pub fn forbid(&self, offset: usize, bytes: usize) -> io::Result<()> {
        self.protect(offset, bytes, MprotectFlags::empty())
    }

    fn protect(&self, offset: usize, bytes: usize, flags: MprotectFlags) -> io::Result<()> {
        assert!(offset + bytes <= self.bytes, "only pages of the mapping are protected");
        // SAFETY: the pages belong to this mapping, and no reference to their contents exists: they are reached
        // through pointers only.
        Ok(unsafe { mprotect(self.start.as_ptr().add(offset).cast(), bytes, flags) }?)
    }

    /// Its first address.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.as_ptr() as usize) < self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody holds a reference into it. An error leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Stacks for the fibers of one threadgroup, used again for every threadgroup of a worker.
pub struct Stacks {
    mapping: Mapping,
    count: usize,
}

impl Stacks {
    /// Maps `count` stacks with a guard below each.
    pub fn new(count: usize) -> io::Result<Self> {
        // What lies within one stack's size above any frame is a stack, or nothing at all: see `glue.cpp`.
        let mapping = Mapping::new((count + 1) * STACK_BYTES)?;
        mapping.forbid(count * STACK_BYTES, STACK_BYTES)?;
        for index in 0..count {
            mapping.forbid(index * STACK_BYTES, GUARD_BYTES)?;
        }
        Ok(Self { mapping, count })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The addresses of one stack.
    pub fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = self.mapping.start() as usize + index * STACK_BYTES;
        start + GUARD_BYTES..start + STACK_BYTES
    }

    /// Makes stack `index` one that begins `body` when it is switched to.
    pub fn prepare(&mut self, index: usize, body: Body) -> Suspended {
        assert!(index < self.count, "only mapped stacks are prepared");
        // Stacks that all began at the same offset of a page would fight for the same lines of the cache.
        let colour = (index * 832) % 4096 / 64 * 64;
        let (words, address) = SAVED;
        // Above what is popped lies a word for the return address that a called function expects to find. With it,
        // x86-64's stack pointer is one word off a multiple of 16 in the body, as after a call.
        let below = 64 + colour + (words + 1).next_multiple_of(2) * 8;
        // SAFETY: the words lie in the stack's writable part: `below` is less than 5 KiB, and the part is larger.
        unsafe {
            let top = self.mapping.start().add((index + 1) * STACK_BYTES);
            let saved = top.sub(below).cast::<usize>();
            saved.write_bytes(0, words + 1);
            saved.add(address).write(body as usize);
            Suspended(saved.cast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static HOST: Cell<Suspended> = const { Cell::new(Suspended::NOWHERE) };
        static FIBER: Cell<Suspended> = const { Cell::new(Suspended::NOWHERE) };
        static SEEN: Cell<f64> = const { Cell::new(0.0) };
    }

    unsafe extern "C" fn body() -> ! {
        let mut sum = 0.0;
        for step in 1.. {
            sum += f64::from(step);
            // Formatting wants an aligned stack, and values that live across the switch want preserved registers.
            SEEN.set(format!("{sum}").parse().unwrap_or(f64::NAN));
            // SAFETY: the host waits in the test below.
            unsafe { switch(FIBER.with(Cell::as_ptr), HOST.get()) };
        }
        unreachable!("the steps have no end")
    }

    #[test]
    fn a_fiber_keeps_its_values_over_a_switch() {
        let mut stacks = Stacks::new(3).unwrap();
        for index in 0..3 {
            FIBER.set(stacks.prepare(index, body));
            for expected in [1.0, 3.0, 6.0, 10.0] {
                // SAFETY: the fiber was prepared above or left itself in `body`; its stack outlives the test.
                unsafe { switch(HOST.with(Cell::as_ptr), FIBER.get()) };
                assert_eq!(SEEN.get(), expected);
            }
        }
    }
}
