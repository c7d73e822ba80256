//! The seam to a GPU: memory, kernels, lists of commands.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;
use wootz_weights::MappedFile;

use crate::source::KernelSource;

/// A piece of device memory, by the number that its device gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// A range of bytes of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The buffer.
    pub buffer: BufferId,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How many bytes.
    pub length: usize,
}

impl Slice {
    /// Bytes `offset .. offset + length` of this slice.
    ///
    /// # Panics
    /// When they don't lie within it: that is a mistake of the program, not of its input.
    pub fn part(&self, offset: usize, length: usize) -> Slice {
        assert!(offset + length <= self.length, "bytes {offset}+{length} of a slice of {}", self.length);
        Slice { offset: self.offset + offset, length, ..*self }
    }

    /// Whether the two have a byte in common.
    pub fn overlaps(&self, other: &Slice) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.length
            && other.offset < self.offset + self.length
    }
}

/// A kernel: an entry point of one of the embedded sources.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// The file that has it.
    pub source: &'static KernelSource,
    /// Its name there (`host_name` of an instantiation).
    pub entry: &'static str,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.source.file, self.entry)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Kernel) -> bool {
        (self.source.file, self.entry) == (other.source.file, other.entry)
    }
}

impl Eq for Kernel {}

impl std::hash::Hash for Kernel {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.source.file, self.entry).hash(state);
    }
}

/// What a kernel does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is only read.
    Read,
    /// It is only written.
    Write,
    /// It is read and written.
    ReadWrite,
}

/// Bytes of an argument struct at most.
pub const INLINE_BYTES: usize = 128;
/// Arguments of a kernel at most.
pub const ARGUMENTS: usize = 16;

/// What is bound to `[[buffer(i)]]`, where `i` is the argument's place in [`Dispatch::arguments`].
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A range of device memory. Where a kernel does not use a buffer (no bias), any other slice stands in its
    /// place and the argument struct says so.
    Buffer(Slice, Access),
    /// A small struct, by value.
    Inline(Box<[u8]>),
}

impl Argument {
    /// A slice that is only read.
    pub fn read(slice: Slice) -> Argument {
        Argument::Buffer(slice, Access::Read)
    }

    /// A slice that is only written.
    pub fn write(slice: Slice) -> Argument {
        Argument::Buffer(slice, Access::Write)
    }

    /// A slice that is read and written.
    pub fn update(slice: Slice) -> Argument {
        Argument::Buffer(slice, Access::ReadWrite)
    }

    /// An argument struct (see [`crate::kernel_args`]).
    pub fn inline<T: bytemuck::NoUninit>(value: &T) -> Argument {
        const { assert!(size_of::<T>() <= INLINE_BYTES) };
        Argument::Inline(bytemuck::bytes_of(value).into())
    }
}

/// How many threads run a kernel, and in which groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Threadgroups in x, y and z: all at least 1.
    pub threadgroups: [u32; 3],
    /// Threads of a threadgroup in x, y and z; together a multiple of 32, at most 1,024.
    pub threads: [u32; 3],
}

/// What a dispatch has to move and compute at least: the physics that bounds its speed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Bytes read from device memory, each counted once.
    pub bytes_read: u64,
    /// Bytes written to device memory.
    pub bytes_written: u64,
    /// Floating-point operations (a multiply-add is two).
    pub operations: u64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.operations += other.operations;
    }
}

/// One launch of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// What runs.
    pub kernel: Kernel,
    /// On what, in the order of the kernel's buffer indices.
    pub arguments: ArrayVec<Argument, ARGUMENTS>,
    /// In how many threads.
    pub grid: Grid,
    /// What it costs at least.
    pub work: Work,
}

impl Dispatch {
    /// The slices that it touches, and how.
    pub fn slices(&self) -> impl Iterator<Item = (Slice, Access)> {
        self.arguments.iter().filter_map(|argument| match argument {
            Argument::Buffer(slice, access) => Some((*slice, *access)),
            Argument::Inline(_) => None,
        })
    }
}

/// An element of what is submitted.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly all are dispatches; a box for each would cost more than the room
pub enum Command {
    /// Run a kernel. Dispatches between two barriers may run at the same time.
    Dispatch(Dispatch),
    /// Everything before is done, and its writes are visible, before anything after begins.
    Barrier,
}

impl Command {
    /// The launch, if it is one.
    pub fn dispatch(&self) -> Option<&Dispatch> {
        match self {
            Command::Dispatch(dispatch) => Some(dispatch),
            Command::Barrier => None,
        }
    }
}

/// What is measured of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The whole.
    Whole,
    /// Each kernel by itself, which takes the overlap away.
    Kernels,
}

/// A submission under way, by the number that its device gave it: they count up by one and end in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Submission(pub u64);

/// How long a submission took on the device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timing {
    /// Seconds from its first command to its last.
    pub seconds: f64,
    /// Seconds of each dispatch in order, with [`Profile::Kernels`] where the device has timestamps.
    pub kernels: Vec<(Kernel, f64)>,
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceFacts {
    /// Its name: `Apple M4 Max`, `emulator`.
    pub name: String,
    /// Its kind and generation.
    pub family: Family,
    /// What compiles its kernels: the system's build, or the compiler's version.
    pub driver: String,
    /// GPU cores, where known.
    pub cores: Option<u32>,
    /// Bytes that may be allocated together without trouble (Metal's recommended working set).
    pub memory: u64,
    /// Bytes of one buffer at most.
    pub buffer_bytes: u64,
    /// Bytes that memory gives in a second, where known.
    pub bandwidth: Option<f64>,
    /// Half-precision operations in a second, where known.
    pub half_rate: Option<f64>,
    /// Whether it has matrix units that only Metal 4's tensor operations reach, and compiles those (M5, macOS 26).
    pub tensor_operations: bool,
    /// Whether it has a library that multiplies matrices ([`crate::product`]).
    pub matrix_library: bool,
    /// Whether kernels may hold factors of the matrix unit in registers, as they lie there on NVIDIA's.
    pub register_factors: bool,
    /// Whether its matrix unit also multiplies for four simdgroups together, with a factor that it reads from threadgroup
    /// memory itself, as Hopper's does.
    pub warpgroup_products: bool,
    /// A buffer's offset in an argument is a multiple of this.
    pub offset_alignment: usize,
}

/// Which generation of devices it belongs to: what kernel choice may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// The emulator.
    Emulator,
    /// An Apple GPU: `7` is M1, `8` M2, `9` M3 and M4, `10` M5.
    Apple(u8),
    /// An NVIDIA GPU by its compute capability: `80` is Ampere, `90` Hopper.
    Nvidia(u8),
}

/// A GPU, or what stands in for one.
///
/// Memory is allocated at load and never during a step. The host writes bytes only while no submission that uses them
/// is under way, and reads them only while none that writes them is; the caller sees to that.
pub trait Device: Send {
    /// What it is.
    fn facts(&self) -> &DeviceFacts;

    /// Sets memory aside; its content is undefined. `purpose` is for messages: "the key/value pool".
    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError>;

    /// Makes a mapped file readable by kernels, without copying where the device can.
    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError>;

    /// Gives a buffer's memory back.
    fn release(&mut self, buffer: BufferId);

    /// Copies bytes into a slice of the same length.
    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Copies a slice out to bytes of the same length.
    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError>;

    /// As [`Device::read`], of bytes that no submission under way writes, though one may have been given a larger slice
    /// that holds them: a page of the pool, while a step writes other pages.
    fn read_idle(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.read(from, bytes)
    }

    /// As [`Device::write`], of bytes that no submission under way reads or writes, though one may have been given a
    /// larger slice that holds them.
    fn write_idle(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.write(to, bytes)
    }

    /// Compiles kernels, so that submitting them later takes no time. `progress` is called with how many are done.
    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError>;

    /// Encodes commands and starts them after all earlier submissions, without waiting for anything.
    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError>;

    /// Waits for a submission and all before it.
    ///
    /// # Errors
    /// When a command of it failed: what it was to write is undefined, everything else is unharmed, and the
    /// next submission works.
    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError>;
}

/// Why a device can't do something.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no such device here.
    #[error("no {device} device: {reason}")]
    Absent {
        /// Which was asked for.
        device: &'static str,
        /// What is missing, and how to get it.
        reason: String,
    },
    /// Devices can't compute a model together.
    #[error("{devices} can't work together: {reason}")]
    Group {
        /// Which.
        devices: String,
        /// What is missing, and how to get it.
        reason: String,
    },
    /// The memory asked for can't be had.
    #[error("{purpose} takes {bytes} bytes, and {device} has {available} left")]
    OutOfMemory {
        /// What it was for.
        purpose: &'static str,
        /// Bytes asked for.
        bytes: u64,
        /// Bytes that could still be had.
        available: u64,
        /// The device.
        device: String,
    },
    /// A kernel does not compile.
    #[error("kernel {kernel} does not compile on {device}: {message}")]
    Compile {
        /// File and entry point.
        kernel: String,
        /// The device.
        device: String,
        /// What the compiler says.
        message: String,
    },
    /// A dispatch is not one that the device can run.
    #[error("kernel {kernel} can't be launched so: {reason}")]
    Launch {
        /// File and entry point.
        kernel: String,
        /// What is wrong.
        reason: String,
    },
    /// A submission failed while it ran.
    #[error("{device} failed{}: {message}", .kernel.as_ref().map(|kernel| format!(" in {kernel}")).unwrap_or_default())]
    Fault {
        /// The device.
        device: String,
        /// The kernel, where that is known.
        kernel: Option<String>,
        /// What the device says.
        message: String,
    },
}
