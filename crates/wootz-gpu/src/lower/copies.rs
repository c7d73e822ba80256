//! Copies of pages, before the rest of a step.

use std::ops::Range;

use wootz_backend::step::PageCopy;

use super::Lowering;
use crate::device::{Dispatch, Slice};
use crate::kernels::copy::CopyPages;

impl Lowering {
    /// The launches that copy pages, in order; `pairs` is where the device has them ([`super::StepPlaces::copies`]).
    pub fn copies(&self, copies: &[PageCopy], pairs: Slice) -> impl Iterator<Item = Dispatch> {
        let (pool, page_bytes) = (self.places.cache.pool, self.places.cache.shape.page_bytes());
        independent_runs(copies).into_iter().map(move |run| {
            let pairs = pairs.part(8 * run.start, 8 * run.len());
            CopyPages { count: run.len(), page_bytes, pool, pairs }.dispatch()
        })
    }
}

/// Cuts copies into runs that may happen in any order within themselves: one launch does them all at once. A copy that
/// reads what one before it wrote begins a run, and one that writes what one before it read.
fn independent_runs(copies: &[PageCopy]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, copy) in copies.iter().enumerate() {
        let apart = |run: &Range<usize>| {
            copies[run.clone()].iter().all(|earlier| earlier.to != copy.from && earlier.from != copy.to)
        };
        match runs.last_mut() {
            Some(run) if apart(run) => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_copies_that_depend_on_each_other_are_apart() {
        let runs = |pairs: &[(u32, u32)]| -> Vec<usize> {
            let copies: Vec<PageCopy> = pairs.iter().map(|&(from, to)| PageCopy { from, to }).collect();
            independent_runs(&copies).iter().map(|run| run.len()).collect()
        };
        assert!(runs(&[]).is_empty());
        assert_eq!(runs(&[(1, 2), (1, 3), (4, 5)]), [3]);
        assert_eq!(runs(&[(1, 2), (2, 3), (1, 4)]), [1, 2]);
        assert_eq!(runs(&[(1, 2), (3, 1), (4, 3)]), [1, 1, 1]);
    }
}
