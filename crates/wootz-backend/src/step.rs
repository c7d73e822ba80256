//! One step of the model: some tokens of some sequences, as flat vectors.

use std::ops::Range;

/// Tokens in a page of the key/value pool.
pub const PAGE_TOKENS: usize = 16;

/// What one forward pass works on. Written by the engine's scheduler, read by every backend.
///
/// Rows are tokens: row `r` of every activation buffer belongs to `tokens[r]`. The rows of one sequence are
/// contiguous and ascending in position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// `[rows]` token ids.
    pub tokens: Vec<u32>,
    /// `[rows]` position of each token in its sequence.
    pub positions: Vec<u32>,
    /// The sequences in this step, in row order.
    pub sequences: Vec<SequenceSlice>,
    /// The page tables of all sequences, one after another: page ids in the pool.
    pub page_table: Vec<u32>,
    /// Ascending rows whose logits are wanted.
    pub sample_rows: Vec<u32>,
}

/// The part of a step that belongs to one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSlice {
    /// Its rows in the step.
    pub rows: Range<usize>,
    /// Its slice of [`Step::page_table`]: page `i` holds positions `16·i .. 16·(i + 1)`; covers every position
    /// up to the last row's.
    pub pages: Range<usize>,
}
