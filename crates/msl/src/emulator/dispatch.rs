//! One dispatch: a kernel, its arguments and its grid.

use std::marker::PhantomData;

/// A dispatch of a kernel.
#[derive(Clone, Default)]
pub struct Dispatch<'a> {
    /// The kernel's name: that of the function, or its `host_name`.
    pub kernel: String,
    /// Buffers and inline constants by the index of the argument.
    pub arguments: Vec<(u32, Binding<'a>)>,
    /// Bytes of each threadgroup argument, by its index.
    pub threadgroup_memory: Vec<(u32, usize)>,
    /// Threadgroups in the grid, along each axis.
    pub threadgroups: [u32; 3],
    /// Threads in a threadgroup, along each axis.
    pub threads: [u32; 3],
    /// Values of function constants, by name.
    pub constants: Vec<(String, ConstantValue)>,
}

/// What stands for a kernel's buffer argument.
#[derive(Clone)]
pub enum Binding<'a> {
    /// Memory.
    Buffer(Buffer<'a>),
    /// Up to 4 KiB of constants that travel with the dispatch.
    Bytes(Vec<u8>),
}

/// Whether a kernel may write to a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferAccess {
    /// It may read. A write is a fault.
    Read,
    /// It may read and write.
    ReadWrite,
    /// It may write, and read what it has written: what was there before counts as uninitialised.
    Output,
}

/// Memory that a kernel is given.
#[derive(Clone)]
pub struct Buffer<'a> {
    pub(super) start: *mut u8,
    pub(super) bytes: usize,
    pub(super) access: BufferAccess,
    memory: PhantomData<&'a mut [u8]>,
}

// SAFETY: a buffer is a borrow of bytes, which are Send.
unsafe impl Send for Buffer<'_> {}

impl<'a> Buffer<'a> {
    /// Bytes that the kernel reads.
    pub fn read(bytes: &'a [u8]) -> Self {
        let start = bytes.as_ptr().cast_mut();
        Self { start, bytes: bytes.len(), access: BufferAccess::Read, memory: PhantomData }
    }

    /// Bytes that the kernel reads and writes.
    pub fn read_write(bytes: &'a mut [u8]) -> Self {
        Self { access: BufferAccess::ReadWrite, ..Self::output(bytes) }
    }

    /// Bytes that the kernel writes. What it does not write is left as it is.
    pub fn output(bytes: &'a mut [u8]) -> Self {
        let start = bytes.as_mut_ptr();
        Self { start, bytes: bytes.len(), access: BufferAccess::Output, memory: PhantomData }
    }

    /// Memory by its address, for a device whose buffers are ranges of one arena and may overlap.
    ///
    /// # Safety
    ///
    /// The bytes are valid for reads, and for writes unless `access` is [`Read`](BufferAccess::Read), until the
    /// dispatch has run. Nobody else writes to them meanwhile, or reads what the kernel writes.
    pub unsafe fn from_raw(start: *mut u8, bytes: usize, access: BufferAccess) -> Self {
        Self { start, bytes, access, memory: PhantomData }
    }
}

/// The value of a function constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConstantValue {
    /// `bool`.
    Bool(bool),
    /// `int`, `short` or `char`.
    Signed(i32),
    /// `uint`, `ushort` or `uchar`.
    Unsigned(u32),
    /// `float`.
    Float(f32),
}

impl ConstantValue {
    /// Its bytes, of which a narrower type takes the first.
    pub(super) fn bytes(self) -> [u8; 4] {
        match self {
            Self::Bool(value) => u32::from(value).to_le_bytes(),
            Self::Signed(value) => value.to_le_bytes(),
            Self::Unsigned(value) => value.to_le_bytes(),
            Self::Float(value) => value.to_le_bytes(),
        }
    }
}

/// The position of a threadgroup by its number: x runs fastest.
pub(super) fn position_in_grid(number: u64, threadgroups: [u32; 3]) -> [u32; 3] {
    let [columns, rows, _] = threadgroups.map(u64::from);
    [(number % columns) as u32, (number / columns % rows) as u32, (number / columns / rows) as u32]
}
