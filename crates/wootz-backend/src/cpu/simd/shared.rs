//! Results that the threads of the pool fill together.
//!
//! A step runs in phases, separated by the pool's barrier. Within a phase every element is either written by exactly
//! one thread and read by no other, or written by none. The compiler cannot see that; the executor, which splits
//! every phase into disjoint shares, upholds it. Indices are always checked.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

/// Rows of f32 that several threads fill: each its own columns (or rows), within one phase.
#[derive(Clone, Copy)]
pub struct SharedOut<'a> {
    start: NonNull<f32>,
    rows: usize,
    stride: usize,
    /// The column that a row's first element is.
    first_column: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for an exclusive borrow of plain numbers; threads split it under the phase rule of this module.
unsafe impl Send for SharedOut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedOut<'_> {}

impl<'a> SharedOut<'a> {
    /// `values` as rows of `stride` elements each; a rest shorter than a row is not used.
    ///
    /// # Panics
    /// If `stride` is 0.
    pub fn new(values: &'a mut [f32], stride: usize) -> Self {
        assert!(stride > 0, "rows of no elements");
        let start = NonNull::from(&mut *values).cast::<f32>();
        Self { start, rows: values.len() / stride, stride, first_column: 0, borrow: PhantomData }
    }

    /// `rows` rows of `stride` elements each from `start` on.
    ///
    /// # Safety
    /// The elements are one allocation that lives for `'a` and is accessed under the phase rule only.
    pub(super) unsafe fn from_raw(start: *mut f32, rows: usize, stride: usize) -> Self {
        let start = NonNull::new(start).expect("a pointer into an allocation");
        Self { start, rows, stride, first_column: 0, borrow: PhantomData }
    }

    /// The same rows, of which the first element is column `first_column`: part of wider rows.
    pub fn from_column(self, first_column: usize) -> Self {
        Self { first_column, ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Columns `columns` of row `row`, which only the caller uses in this phase.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(in crate::cpu) fn row(&self, row: usize, columns: Range<usize>) -> &'a mut [f32] {
        let first = self.first_column;
        assert!(
            row < self.rows
                && first <= columns.start
                && columns.start <= columns.end
                && columns.end - first <= self.stride,
            "row {row}, columns {columns:?} of {} rows of {} from {first}",
            self.rows,
            self.stride
        );
        // SAFETY: inside the borrowed slice by the assertion; not used by anyone else meanwhile by the phase rule.
        unsafe {
            let start = self.start.as_ptr().add(row * self.stride + (columns.start - first));
            std::slice::from_raw_parts_mut(start, columns.len())
        }
    }
}

impl fmt::Debug for SharedOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedOut({} rows of {})", self.rows, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_fill_disjoint_columns() {
        let mut values = [0.0; 60];
        let out = SharedOut::new(&mut values, 20);
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                scope.spawn(move || {
                    for row in 0..3 {
                        out.row(row, thread * 5..thread * 5 + 5).fill((row * 4 + thread) as f32);
                    }
                });
            }
        });
        let expected: Vec<f32> = (0..12).flat_map(|i| [i as f32; 5]).collect();
        assert_eq!(values[..], expected);
    }

    #[test]
    #[should_panic(expected = "columns 5..21")]
    fn a_column_past_the_row_is_refused() {
        SharedOut::new(&mut [0.0; 60], 20).row(2, 5..21);
    }
}
