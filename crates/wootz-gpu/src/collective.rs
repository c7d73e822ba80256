//! What several devices compute together: sums of what each of them has.
//!
//! Such a sum is launched like a kernel, so that hazards and lowering treat it as one: its [`Kernel`] has a source without
//! text, and a device that finds it meets the other devices of its group instead. NVIDIA's do so through NCCL, emulators in
//! the memory of their process.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::device::{Argument, Device, Dispatch, Grid, Kernel, Slice, Work};
use crate::source::KernelSource;

/// The source that stands for what a group does together.
pub static GROUP: KernelSource = KernelSource { file: "(the group)", text: "", arguments: &[] };

/// Devices of a group at most: those of one machine.
pub const MOST_RANKS: usize = 8;

/// Each device's `values` become the sum of those of all devices of its group. All of them launch the same sums in the same
/// order; each ends when the last has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AllReduce {
    /// `[elements]` f32, updated.
    pub values: Slice,
}

impl AllReduce {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let bytes = self.values.length as u64;
        Dispatch {
            kernel: Kernel { source: &GROUP, entry: "all_reduce" },
            arguments: ArrayVec::from_iter([Argument::update(self.values)]),
            grid: Grid { threadgroups: [1; 3], threads: [32, 1, 1] },
            work: Work { bytes_read: bytes, bytes_written: bytes, operations: bytes / 4 },
        }
    }

    /// The sum that a dispatch asks of a group; `None` for anything else.
    pub fn of(dispatch: &Dispatch) -> Option<AllReduce> {
        match dispatch.arguments.as_slice() {
            [Argument::Buffer(values, _)] if dispatch.kernel.source.file == GROUP.file => {
                Some(AllReduce { values: *values })
            }
            _ => None,
        }
    }

    /// Elements of it.
    pub fn elements(&self) -> usize {
        self.values.length / size_of::<f32>()
    }
}

/// What devices of a group wait for each other by.
pub trait Group: Send + Sync {
    /// Ends the group: whoever waits for another, or ever will, fails instead. For the one who has failed, since the others
    /// would wait for it.
    fn abandon(&self);

    /// Whether what the devices have is added up in their order, for any number of elements.
    fn adds_in_order(&self) -> bool;
}

/// Devices that compute each step of a model together.
pub struct Ranks {
    /// One for each rank, in order; all of one kind.
    pub devices: Vec<Box<dyn Device>>,
    /// How they meet.
    pub group: Arc<dyn Group>,
}
