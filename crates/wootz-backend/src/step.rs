//! One step of the model: some tokens of some sequences, as flat vectors.

use std::ops::Range;

/// Tokens in a page of the key/value pool.
pub const PAGE_TOKENS: usize = 16;

/// Marks a token of a step that is not known yet; the other bits are the sample row that draws it.
const PENDING: u32 = 1 << 31;

/// In [`Step::tokens`]: the token that sample row `sample` of the step before draws. See
/// [`Pipeline`](crate::model::Pipeline).
pub fn pending(sample: u32) -> u32 {
    PENDING | sample
}

/// The sample row of a token that is [`pending`]; `None` for one that is known.
pub fn pending_sample(token: u32) -> Option<u32> {
    (token & PENDING != 0).then_some(token & !PENDING)
}

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
    /// Pages that are copied, in this order, before anything else of the step happens: a sequence that goes on writing
    /// in a page that another still reads gets a copy of its own.
    pub copies: Vec<PageCopy>,
}

/// One page of the pool copied onto another. What the other held is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCopy {
    /// The page that is read.
    pub from: u32,
    /// The page that is written, whole. No other copy of the step writes it.
    pub to: u32,
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

/// What a step may hold on one loaded model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Token ids are below this.
    pub vocab: usize,
    /// Positions are below this.
    pub positions: usize,
    /// Rows at most.
    pub rows: usize,
    /// Sampled rows at most.
    pub samples: usize,
    /// Pages in the pool: page ids are below this.
    pub pages: usize,
}

/// What is wrong with a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum StepError {
    /// There is nothing to compute.
    #[error("it has no rows")]
    Empty,
    /// More than memory was set aside for.
    #[error("it has {found} {what}, and at most {limit} fit")]
    TooMany { what: &'static str, found: usize, limit: usize },
    /// Vectors that go together have other lengths.
    #[error("it has {tokens} tokens and {positions} positions")]
    Lengths { tokens: usize, positions: usize },
    /// A value that is out of its range.
    #[error("{what} {found} at index {index} is not below {limit}")]
    OutOfRange { what: &'static str, index: usize, found: usize, limit: usize },
    /// A sequence's rows don't follow those of the one before, or the last one's don't end with the step.
    #[error("rows {found:?} of sequence {sequence} do not continue at row {expected} of {rows}")]
    Rows { sequence: usize, found: Range<usize>, expected: usize, rows: usize },
    /// Positions within a sequence don't count up by one.
    #[error("position {found} at row {row} does not follow position {before}")]
    Positions { row: usize, found: u32, before: u32 },
    /// A sequence's page table is not within the step's, or too short for its positions.
    #[error(
        "pages {found:?} of sequence {sequence} do not cover position {position} within a table of {table}"
    )]
    Pages { sequence: usize, found: Range<usize>, position: u32, table: usize },
    /// A page that is written by this step belongs to two sequences.
    #[error("page {page} is written by two sequences")]
    SharedPage { page: u32 },
    /// A page that two copies write, or that is copied onto itself.
    #[error("page {page} is copied to twice, or onto itself")]
    CopiedTwice { page: u32 },
    /// Sampled rows that don't ascend.
    #[error("sampled row {found} does not come after {before}")]
    SampleOrder { found: u32, before: u32 },
}

impl Step {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Whether a model with these limits can run the step. Every backend asks this first, so that none indexes
    /// out of bounds whatever the engine does.
    pub fn validate(&self, limits: &StepLimits) -> Result<(), StepError> {
        self.validate_after(limits, 0)
    }

    /// The same for a step after one with `samples` sample rows, whose draws its tokens may name ([`pending`]).
    pub fn validate_after(&self, limits: &StepLimits, samples: usize) -> Result<(), StepError> {
        self.validate_sizes(limits)?;
        let known = |token: u32| match pending_sample(token) {
            None => (token as usize) < limits.vocab,
            Some(sample) => (sample as usize) < samples,
        };
        if let Some(index) = self.tokens.iter().position(|&token| !known(token)) {
            let found = self.tokens[index] as usize;
            return Err(StepError::OutOfRange { what: "token", index, found, limit: limits.vocab });
        }
        below("position", &self.positions, limits.positions)?;
        below("page", &self.page_table, limits.pages)?;
        below("sampled row", &self.sample_rows, self.rows())?;
        if let Some(pair) = self.sample_rows.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(StepError::SampleOrder { found: pair[1], before: pair[0] });
        }
        let mut next_row = 0;
        for (number, sequence) in self.sequences.iter().enumerate() {
            self.validate_sequence(number, sequence, next_row)?;
            next_row = sequence.rows.end;
        }
        if next_row != self.rows() {
            let sequence = self.sequences.len();
            return Err(StepError::Rows {
                sequence,
                found: next_row..next_row,
                expected: next_row,
                rows: self.rows(),
            });
        }
        self.validate_written_pages()?;
        self.validate_copies(limits)
    }

    fn validate_sizes(&self, limits: &StepLimits) -> Result<(), StepError> {
        if self.tokens.is_empty() {
            return Err(StepError::Empty);
        }
        if self.tokens.len() != self.positions.len() {
            return Err(StepError::Lengths { tokens: self.tokens.len(), positions: self.positions.len() });
        }
        let at_most = |what, found, limit| match found > limit {
            true => Err(StepError::TooMany { what, found, limit }),
            false => Ok(()),
        };
        at_most("rows", self.rows(), limits.rows)?;
        at_most("sampled rows", self.sample_rows.len(), limits.samples)?;
        // A sequence needs a copy of the page that it writes next, so there are never more than rows.
        at_most("copied pages", self.copies.len(), limits.rows)
    }

    fn validate_sequence(
        &self,
        number: usize,
        sequence: &SequenceSlice,
        next_row: usize,
    ) -> Result<(), StepError> {
        let SequenceSlice { rows, pages } = sequence;
        if rows.start != next_row || rows.is_empty() || rows.end > self.rows() {
            let (found, rows) = (rows.clone(), self.rows());
            return Err(StepError::Rows { sequence: number, found, expected: next_row, rows });
        }
        let positions = &self.positions[rows.clone()];
        if let Some(at) = positions.windows(2).position(|pair| Some(pair[1]) != pair[0].checked_add(1)) {
            let (before, found) = (positions[at], positions[at + 1]);
            return Err(StepError::Positions { row: rows.start + at + 1, found, before });
        }
        let position = positions[positions.len() - 1];
        if pages.end > self.page_table.len() || pages.len() <= position as usize / PAGE_TOKENS {
            let (found, table) = (pages.clone(), self.page_table.len());
            return Err(StepError::Pages { sequence: number, found, position, table });
        }
        Ok(())
    }

    /// Copies happen in order, so one may read what another wrote; but the result must not depend on the order of two
    /// that write the same page.
    fn validate_copies(&self, limits: &StepLimits) -> Result<(), StepError> {
        for (index, copy) in self.copies.iter().enumerate() {
            below_one("copied page", index, copy.from, limits.pages)?;
            below_one("copied-to page", index, copy.to, limits.pages)?;
            if copy.from == copy.to || self.copies[..index].iter().any(|earlier| earlier.to == copy.to) {
                return Err(StepError::CopiedTwice { page: copy.to });
            }
        }
        Ok(())
    }

    /// Sequences may share pages that they only read (a common prefix), but a written page has one owner:
    /// two writers would race, and the answer would depend on who is later.
    fn validate_written_pages(&self) -> Result<(), StepError> {
        // Few pages are written in one step, nearly always fewer than rows: sorting a copy would allocate, and
        // comparing all pairs is quadratic only in the number of pages that a step writes.
        let written = |sequence: &SequenceSlice| {
            let first = self.positions[sequence.rows.start] as usize / PAGE_TOKENS;
            let last = self.positions[sequence.rows.end - 1] as usize / PAGE_TOKENS;
            &self.page_table[sequence.pages.clone()][first..=last]
        };
        for (index, sequence) in self.sequences.iter().enumerate() {
            let own = written(sequence);
            let twice = |at: usize| own[..at].contains(&own[at]);
            let other =
                |page: &u32| self.sequences[..index].iter().any(|earlier| written(earlier).contains(page));
            if let Some(at) = (0..own.len()).find(|&at| twice(at) || other(&own[at])) {
                return Err(StepError::SharedPage { page: own[at] });
            }
        }
        Ok(())
    }
}

fn below_one(what: &'static str, index: usize, value: u32, limit: usize) -> Result<(), StepError> {
    match (value as usize) < limit {
        true => Ok(()),
        false => Err(StepError::OutOfRange { what, index, found: value as usize, limit }),
    }
}

fn below(what: &'static str, values: &[u32], limit: usize) -> Result<(), StepError> {
    match values.iter().position(|&value| value as usize >= limit) {
        Some(index) => Err(StepError::OutOfRange { what, index, found: values[index] as usize, limit }),
        None => Ok(()),
    }
}
