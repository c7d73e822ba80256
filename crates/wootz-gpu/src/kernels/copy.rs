//! Copies and conversions: `kernels/copy.metal`.

mod cases;

use arrayvec::ArrayVec;

use super::Concept;
pub use super::embedding::DequantizeToHalf;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The copy kernels.
pub const CONCEPT: Concept = Concept { name: "copy", sources: SOURCES, cases: cases::cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "copy.metal",
    text: include_str!("../../../../kernels/copy.metal"),
    arguments: &[ConvertArguments::MSL, CopyRowsArguments::MSL, CopyPagesArguments::MSL],
}];

kernel_args! {
    /// Arguments of `convert`.
    pub struct ConvertArguments {
        /// Elements.
        count: u32,
    }
}

kernel_args! {
    /// Arguments of `copy_rows`, in elements.
    pub struct CopyRowsArguments {
        /// Rows.
        rows: u32,
        /// Of a row.
        width: u32,
        /// From the beginning of a row to that of the next, in the input.
        input_stride: u32,
        /// The same of the output.
        out_stride: u32,
    }
}

kernel_args! {
    /// Arguments of `copy_pages`.
    pub struct CopyPagesArguments {
        /// Units of 16 bytes in a page.
        page_words: u32,
    }
}

/// Threads of a threadgroup.
const THREADS: usize = 128;

fn line_of(threads: usize) -> Grid {
    Grid { threadgroups: [threads.div_ceil(THREADS) as u32, 1, 1], threads: [THREADS as u32, 1, 1] }
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Number {
    F32,
    F16,
    BF16,
}

impl Number {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            Number::F32 => 4,
            Number::F16 | Number::BF16 => 2,
        }
    }
}

/// `out[i] = input[i]` in another type (or the same, which is a copy).
#[derive(Debug, Clone, Copy)]
pub struct Convert {
    /// What is read.
    pub from: Number,
    /// What is written.
    pub to: Number,
    /// How many.
    pub count: usize,
    /// `[count]`, at a multiple of an element's bytes.
    pub input: Slice,
    /// `[count]`, at a multiple of an element's bytes.
    pub out: Slice,
}

impl Convert {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &Convert { from, to, count, input, out } = self;
        let entry = match (from, to) {
            (Number::F32, Number::F16) => "convert_f32_f16",
            (Number::F32, Number::BF16) => "convert_f32_bf16",
            (Number::F16, Number::F32) => "convert_f16_f32",
            (Number::F16, Number::BF16) => "convert_f16_bf16",
            (Number::BF16, Number::F32) => "convert_bf16_f32",
            (Number::BF16, Number::F16) => "convert_bf16_f16",
            (Number::F32, Number::F32) | (Number::F16, Number::F16) | (Number::BF16, Number::BF16) => {
                return CopyRows::bytes_of(count * from.bytes(), input, out).dispatch();
            }
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry },
            arguments: ArrayVec::from_iter([
                Argument::read(input),
                Argument::write(out),
                Argument::inline(&ConvertArguments { count: count as u32 }),
            ]),
            grid: line_of(count.div_ceil(4)),
            work: Work {
                bytes_read: (count * from.bytes()) as u64,
                bytes_written: (count * to.bytes()) as u64,
                operations: count as u64,
            },
        }
    }
}

/// What is copied at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Four bytes, at multiples of four.
    Word,
    /// One byte, anywhere.
    Byte,
}

/// `out[r · out_stride + i] = input[r · input_stride + i]`, in units.
#[derive(Debug, Clone, Copy)]
pub struct CopyRows {
    /// What widths and strides count.
    pub unit: Unit,
    /// Rows.
    pub rows: usize,
    /// Units of a row.
    pub width: usize,
    /// Units from row to row of the input.
    pub input_stride: usize,
    /// Units from row to row of the output: at least the width. What lies between rows stays as it is.
    pub out_stride: usize,
    /// The first row's beginning.
    pub input: Slice,
    /// The first row's beginning. It has no byte in common with the input.
    pub out: Slice,
}

impl CopyRows {
    /// A run of bytes; words where both sides allow it.
    pub fn bytes_of(bytes: usize, input: Slice, out: Slice) -> CopyRows {
        let whole = [bytes, input.offset, out.offset].iter().all(|number| number.is_multiple_of(4));
        let (unit, width) = if whole { (Unit::Word, bytes / 4) } else { (Unit::Byte, bytes) };
        CopyRows { unit, rows: 1, width, input_stride: width, out_stride: width, input, out }
    }

    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &CopyRows { unit, rows, width, input_stride, out_stride, input, out } = self;
        let (entry, bytes) = match unit {
            Unit::Word => ("copy_rows_u32", 4),
            Unit::Byte => ("copy_rows_u8", 1),
        };
        let arguments = CopyRowsArguments {
            rows: rows as u32,
            width: width as u32,
            input_stride: input_stride as u32,
            out_stride: out_stride as u32,
        };
        let moved = (rows * width * bytes) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry },
            arguments: ArrayVec::from_iter([
                Argument::read(input),
                Argument::write(out),
                Argument::inline(&arguments),
            ]),
            grid: line_of(rows * width.div_ceil(4)),
            work: Work { bytes_read: moved, bytes_written: moved, operations: 0 },
        }
    }
}

/// Pages of one pool onto others: `pool[to] = pool[from]` for each pair.
#[derive(Debug, Clone, Copy)]
pub struct CopyPages {
    /// Pairs, at least one.
    pub count: usize,
    /// Bytes of a page, a multiple of 16.
    pub page_bytes: usize,
    /// All pages, at a multiple of 16 bytes.
    pub pool: Slice,
    /// `[count]` pairs of u32: from, to. No page is in two of them, except to be copied from.
    pub pairs: Slice,
}

impl CopyPages {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &CopyPages { count, page_bytes, pool, pairs } = self;
        let page_words = page_bytes / 16;
        let moved = (count * page_bytes) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "copy_pages" },
            arguments: ArrayVec::from_iter([
                Argument::update(pool),
                Argument::read(pairs),
                Argument::inline(&CopyPagesArguments { page_words: page_words as u32 }),
            ]),
            grid: Grid {
                threadgroups: [page_words.div_ceil(THREADS) as u32, count as u32, 1],
                threads: [THREADS as u32, 1, 1],
            },
            work: Work { bytes_read: moved + 8 * count as u64, bytes_written: moved, operations: 0 },
        }
    }
}
