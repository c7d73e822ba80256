//! Sampling: `kernels/sample*.metal`.

mod cases;
mod row;

use arrayvec::ArrayVec;

use super::Concept;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

pub use row::{PREVIOUS_ROW, RowSettings, SampleRefusal, SampleRow, TOP_LIMIT, VOCABULARY_LIMIT};

/// The sample kernels.
pub const CONCEPT: Concept = Concept { name: "sample", sources: SOURCES, cases: cases::cases };

const SOURCES: &[KernelSource] = &[
    KernelSource {
        file: "sample.metal",
        text: include_str!("../../../../kernels/sample.metal"),
        arguments: &[SampleArguments::MSL, SampleRow::MSL],
    },
    KernelSource {
        file: "sample_prepare.metal",
        text: include_str!("../../../../kernels/sample_prepare.metal"),
        arguments: &[SampleArguments::MSL, FeedArguments::MSL, SampleRow::MSL],
    },
    KernelSource {
        file: "sample_logprobs.metal",
        text: include_str!("../../../../kernels/sample_logprobs.metal"),
        arguments: &[SampleArguments::MSL, SampleRow::MSL],
    },
];

kernel_args! {
    /// Arguments of the kernels that sample.
    pub struct SampleArguments {
        /// Logits of a row.
        vocab: u32,
        /// Places for top tokens in each row of the results.
        top: u32,
    }
}

kernel_args! {
    /// Arguments of feed_tokens.
    pub struct FeedArguments {
        /// How many tokens.
        count: u32,
    }
}

/// `status[2 * row]` of a row for which a token was chosen.
pub const CHOSEN: u32 = 0;
/// The same where mask, bias and the model itself leave no token.
pub const NO_TOKEN_LEFT: u32 = 1;
/// The same where the logit of token `status[2 * row + 1]` is NaN or plus infinity.
pub const BROKEN_LOGIT: u32 = 2;
/// A place among the top tokens that is empty, since the vocabulary has fewer.
pub const NO_TOKEN: u32 = u32::MAX;

/// `tokens[i] = entries[i]`, where an entry may name a row of the previous step (see [`PREVIOUS_ROW`]).
#[derive(Debug, Clone, Copy)]
pub struct FeedTokens {
    /// How many.
    pub count: usize,
    /// `[count]` u32.
    pub entries: Slice,
    /// The tokens that the previous step chose, u32.
    pub previous: Slice,
    /// `[count]` u32.
    pub tokens: Slice,
}

impl FeedTokens {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let threads = self.count.next_multiple_of(32).min(256) as u32;
        Dispatch {
            kernel: Kernel { source: &SOURCES[1], entry: "feed_tokens" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.entries),
                Argument::read(self.previous),
                Argument::write(self.tokens),
                Argument::inline(&FeedArguments { count: self.count as u32 }),
            ]),
            grid: Grid {
                threadgroups: [(self.count as u32).div_ceil(threads), 1, 1],
                threads: [threads, 1, 1],
            },
            work: Work {
                bytes_read: 8 * self.count as u64,
                bytes_written: 4 * self.count as u64,
                operations: 0,
            },
        }
    }
}

/// What rows need that change their logits before sampling.
#[derive(Debug, Clone, Copy)]
pub struct Changes {
    /// `[rows, vocab]` f32, written for the rows that change their logits.
    pub logits: Slice,
    /// `[rows, vocab]` u32: scratch; what it holds before does not matter.
    pub counts: Slice,
    /// Bits of allowed tokens, u32 words; [`RowSettings::mask`] says where a row's begin.
    pub masks: Slice,
    /// Tokens of all rows' biases, u32.
    pub bias_tokens: Slice,
    /// Their biases, f32.
    pub bias_values: Slice,
    /// Tokens of all rows' penalty windows, u32, or rows of the previous step.
    pub history: Slice,
    /// The tokens that the previous step chose, u32.
    pub previous: Slice,
}

/// Where log probabilities go.
#[derive(Debug, Clone, Copy)]
pub struct Logprobs {
    /// Places for top tokens in a row: at most [`TOP_LIMIT`].
    pub top: usize,
    /// `[rows]` f32: the chosen token's.
    pub chosen: Slice,
    /// `[rows, top]` u32: the most likely tokens, then [`NO_TOKEN`].
    pub top_tokens: Slice,
    /// `[rows, top]` f32: theirs.
    pub top_logprobs: Slice,
}

/// Chooses a token from each row of logits.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// How many rows.
    pub rows: usize,
    /// Logits of each: at most [`VOCABULARY_LIMIT`].
    pub vocab: usize,
    /// `[rows, vocab]` f32.
    pub logits: Slice,
    /// `[rows]` of [`SampleRow`].
    pub settings: Slice,
    /// Needed if any row changes its logits ([`SampleRow::changes_logits`]).
    pub changes: Option<Changes>,
    /// `[rows]` u32: the chosen tokens; 0 where none was.
    pub tokens: Slice,
    /// `[rows, 2]` u32: [`CHOSEN`], [`NO_TOKEN_LEFT`] or [`BROKEN_LOGIT`], and the broken token.
    pub status: Slice,
    /// Needed if any row wants log probabilities.
    pub logprobs: Option<Logprobs>,
}

impl Sample {
    /// The launches, in order, each of which needs what the one before it wrote.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, 3> {
        let mut dispatches = ArrayVec::new();
        dispatches.extend(self.changes.map(|changes| self.prepare(&changes)));
        dispatches.push(self.choose());
        dispatches.extend(self.logprobs.map(|logprobs| self.measure(&logprobs)));
        dispatches
    }

    fn prepare(&self, changes: &Changes) -> Dispatch {
        let logits = (self.rows * self.vocab) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[1], entry: "sample_prepare" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.logits),
                Argument::write(changes.logits),
                Argument::update(changes.counts),
                Argument::read(self.settings),
                Argument::read(changes.masks),
                Argument::read(changes.bias_tokens),
                Argument::read(changes.bias_values),
                Argument::read(changes.history),
                Argument::read(changes.previous),
                self.arguments(0),
            ]),
            grid: self.grid(),
            work: Work {
                bytes_read: 4 * logits
                    + logits / 8
                    + (changes.history.length + changes.bias_tokens.length) as u64,
                bytes_written: 4 * logits,
                operations: 0,
            },
        }
    }

    fn choose(&self) -> Dispatch {
        let logits = (self.rows * self.vocab) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "sample_choose" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.logits),
                Argument::read(self.changes.map_or(self.logits, |changes| changes.logits)),
                Argument::read(self.settings),
                Argument::write(self.tokens),
                Argument::write(self.status),
                self.arguments(0),
            ]),
            grid: self.grid(),
            work: Work {
                bytes_read: 4 * logits + (self.rows * size_of::<SampleRow>()) as u64,
                bytes_written: 12 * self.rows as u64,
                // An exp is about 20.
                operations: 25 * logits,
            },
        }
    }

    fn measure(&self, logprobs: &Logprobs) -> Dispatch {
        let logits = (self.rows * self.vocab) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[2], entry: "sample_logprobs" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.logits),
                Argument::read(self.settings),
                Argument::read(self.tokens),
                Argument::read(self.status),
                Argument::write(logprobs.chosen),
                Argument::write(logprobs.top_tokens),
                Argument::write(logprobs.top_logprobs),
                self.arguments(logprobs.top),
            ]),
            grid: self.grid(),
            work: Work {
                bytes_read: 4 * logits,
                bytes_written: (4 + 8 * logprobs.top as u64) * self.rows as u64,
                operations: 25 * logits,
            },
        }
    }

    fn arguments(&self, top: usize) -> Argument {
        Argument::inline(&SampleArguments { vocab: self.vocab as u32, top: top as u32 })
    }

    /// A threadgroup a row. Results don't depend on how many threads it has, so small vocabularies take few.
    fn grid(&self) -> Grid {
        let threads = self.vocab.div_ceil(16).next_multiple_of(32).min(1024) as u32;
        Grid { threadgroups: [self.rows as u32, 1, 1], threads: [threads, 1, 1] }
    }
}
