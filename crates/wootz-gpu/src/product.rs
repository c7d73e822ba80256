//! Matrix products by the device's own library: Metal Performance Shaders on a Mac, cuBLAS on an NVIDIA GPU.
//!
//! Such a product is launched like a kernel, so that hazards, cases and choice treat it as one: its [`Kernel`] has a
//! source without text, and a device that finds [`SYSTEM`] as the source calls its library instead.

use arrayvec::ArrayVec;
use half::f16;

use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The source that stands for the device's own library.
pub static SYSTEM: KernelSource = KernelSource { file: "(the system)", text: "", arguments: &[] };

/// `out = left · rightᵀ`, all row-major and without gaps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatrixProduct {
    /// Rows of `left` and `out`.
    pub rows: usize,
    /// Rows of `right`, columns of `out`.
    pub columns: usize,
    /// Columns of `left` and `right`.
    pub inner: usize,
    /// `[rows, inner]` f16.
    pub left: Slice,
    /// `[columns, inner]` f16.
    pub right: Slice,
    /// `[rows, columns]` f32.
    pub out: Slice,
}

kernel_args! {
    /// The shape of a product.
    pub struct ProductArguments {
        /// Rows of the result.
        rows: u32,
        /// Columns of the result.
        columns: u32,
        /// Products that are added up for each element.
        inner: u32,
    }
}

impl MatrixProduct {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let &MatrixProduct { rows, columns, inner, left, right, out } = self;
        let shape = ProductArguments { rows: rows as u32, columns: columns as u32, inner: inner as u32 };
        Dispatch {
            kernel: Kernel { source: &SYSTEM, entry: "matrix_product" },
            arguments: ArrayVec::from_iter([
                Argument::read(left),
                Argument::read(right),
                Argument::write(out),
                Argument::inline(&shape),
            ]),
            grid: Grid { threadgroups: [1; 3], threads: [32, 1, 1] },
            work: Work {
                bytes_read: 2 * ((rows + columns) * inner) as u64,
                bytes_written: 4 * (rows * columns) as u64,
                operations: 2 * (rows * columns * inner) as u64,
            },
        }
    }

    /// The product that a dispatch asks of the system; `None` for a kernel of ours.
    pub fn of(dispatch: &Dispatch) -> Option<MatrixProduct> {
        if dispatch.kernel.source.file != SYSTEM.file {
            return None;
        }
        let [
            Argument::Buffer(left, _),
            Argument::Buffer(right, _),
            Argument::Buffer(out, _),
            Argument::Inline(shape),
        ] = dispatch.arguments.as_slice()
        else {
            return None;
        };
        let shape: ProductArguments = bytemuck::pod_read_unaligned(shape);
        Some(MatrixProduct {
            rows: shape.rows as usize,
            columns: shape.columns as usize,
            inner: shape.inner as usize,
            left: *left,
            right: *right,
            out: *out,
        })
    }

    /// The product on the host: what a device without such a library does, and the twin of those that have one.
    pub fn compute(&self, left: &[f16], right: &[f16], out: &mut [f32]) {
        for (row, out) in left.chunks_exact(self.inner).zip(out.chunks_exact_mut(self.columns)) {
            for (column, out) in right.chunks_exact(self.inner).zip(out) {
                *out = row.iter().zip(column).map(|(a, b)| a.to_f32() * b.to_f32()).sum();
            }
        }
    }
}
