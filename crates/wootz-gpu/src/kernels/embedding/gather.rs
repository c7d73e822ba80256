//! Rows of activations by number.

use arrayvec::ArrayVec;

use super::{SOURCES, line_of};
use crate::device::{Argument, Dispatch, Kernel, Slice, Work};
use crate::kernel_args;

kernel_args! {
    /// Arguments of `gather` and `gather_add`.
    pub struct GatherArguments {
        /// Rows of the result.
        rows: u32,
        /// Elements of a row.
        columns: u32,
    }
}

/// `out[s] = residual[rows[s]] + input[rows[s]]`.
#[derive(Debug, Clone, Copy)]
pub struct GatherAdd {
    /// How many rows come out.
    pub count: usize,
    /// Elements in each.
    pub width: usize,
    /// `[any, width]` f32.
    pub residual: Slice,
    /// `[any, width]` f32.
    pub input: Slice,
    /// `[count]` u32, each below the rows of both.
    pub rows: Slice,
    /// `[count, width]` f32.
    pub out: Slice,
}

impl GatherAdd {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &GatherAdd { count, width, residual, input, rows, out } = self;
        let elements = (count * width) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "gather_add" },
            arguments: ArrayVec::from_iter([
                Argument::read(residual),
                Argument::read(input),
                Argument::read(rows),
                Argument::write(out),
                Argument::inline(&GatherArguments { rows: count as u32, columns: width as u32 }),
            ]),
            grid: line_of(count * width.div_ceil(4)),
            work: Work {
                bytes_read: 8 * elements + 4 * count as u64,
                bytes_written: 4 * elements,
                operations: elements,
            },
        }
    }
}

/// `out[s] = input[rows[s]]`.
#[derive(Debug, Clone, Copy)]
pub struct Gather {
    /// How many rows come out.
    pub count: usize,
    /// Elements in each.
    pub width: usize,
    /// `[any, width]` f32.
    pub input: Slice,
    /// `[count]` u32, each below the rows of the input.
    pub rows: Slice,
    /// `[count, width]` f32.
    pub out: Slice,
}

impl Gather {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &Gather { count, width, input, rows, out } = self;
        let elements = (count * width) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "gather" },
            arguments: ArrayVec::from_iter([
                Argument::read(input),
                Argument::read(rows),
                Argument::write(out),
                Argument::inline(&GatherArguments { rows: count as u32, columns: width as u32 }),
            ]),
            grid: line_of(count * width.div_ceil(4)),
            work: Work {
                bytes_read: 4 * elements + 4 * count as u64,
                bytes_written: 4 * elements,
                operations: 0,
            },
        }
    }
}
