//! Sampling: `kernels/sample*.metal`.

mod cases;
mod row;

use arrayvec::ArrayVec;

use super::Concept;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

pub use super::embedding::PREVIOUS_ROW;
pub use row::{RowSettings, SampleRefusal, SampleRow, TOP_LIMIT, VOCABULARY_LIMIT};

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
        arguments: &[SampleArguments::MSL, SampleRow::MSL],
    },
    KernelSource {
        file: "sample_logprobs.metal",
        text: include_str!("../../../../kernels/sample_logprobs.metal"),
        arguments: &[SampleArguments::MSL, SampleRow::MSL],
    },
    KernelSource {
        file: "sample_parts.metal",
        text: include_str!("../../../../kernels/sample_parts.metal"),
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
        /// Whether any row changes its logits.
        changes: u32,
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

/// Logits of a row that a threadgroup has in the launches that many threadgroups share.
const PART: usize = 4096;
/// Logits whose mass the draw from a whole vocabulary adds up together.
const BLOCK: usize = 1024;
/// Distances from the best within which tokens are counted.
const REACHES: usize = 6;
/// Tokens near the best that are listed of a part.
const PART_LIST: usize = 256;

/// What is known of the parts of each row before a token is chosen: scratch of one step.
#[derive(Debug, Clone, Copy)]
pub struct PartScratch {
    /// `[rows, parts, 4]` u32, at a multiple of 16 bytes: the best logit's key, its token, the first broken logit.
    pub bests: Slice,
    /// `[rows, blocks]` u64: masses.
    pub masses: Slice,
    /// `[rows, parts, 6]` u32: how many tokens are how near the best.
    pub within: Slice,
    /// `[rows, parts, 256]` u64, at a multiple of 16 bytes: the nearest.
    pub lists: Slice,
}

impl PartScratch {
    /// Bytes of each, in the order of the fields.
    pub const fn bytes(rows: usize, vocab: usize) -> [usize; 4] {
        let (parts, blocks) = (rows * vocab.div_ceil(PART), rows * vocab.div_ceil(BLOCK));
        [16 * parts, 8 * blocks, 4 * REACHES * parts, 8 * PART_LIST * parts]
    }

    /// What so many rows take of it.
    fn of(&self, rows: usize, vocab: usize) -> PartScratch {
        let [bests, masses, within, lists] = PartScratch::bytes(rows, vocab);
        PartScratch {
            bests: self.bests.part(0, bests),
            masses: self.masses.part(0, masses),
            within: self.within.part(0, within),
            lists: self.lists.part(0, lists),
        }
    }
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

/// Launches of [`Sample`] at most.
pub const LAUNCHES: usize = 5;

/// Whether the rows need more than the most likely token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// All take the most likely token.
    Nowhere,
    /// Some draw ([`SampleRow::draws`]).
    Somewhere,
}

impl Drawing {
    /// Of these rows.
    pub fn of(rows: &[SampleRow]) -> Drawing {
        if rows.iter().any(SampleRow::draws) { Drawing::Somewhere } else { Drawing::Nowhere }
    }
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
    /// Which rows there are.
    pub drawing: Drawing,
    /// Of [`PartScratch::bytes`].
    pub parts: PartScratch,
    /// `[rows]` u32: the chosen tokens; 0 where none was.
    pub tokens: Slice,
    /// `[rows, 2]` u32: [`CHOSEN`], [`NO_TOKEN_LEFT`] or [`BROKEN_LOGIT`], and the broken token.
    pub status: Slice,
    /// Needed if any row wants log probabilities.
    pub logprobs: Option<Logprobs>,
}

impl Sample {
    /// The launches, in order, each of which needs what those before it wrote.
    pub fn dispatches(&self) -> ArrayVec<Dispatch, LAUNCHES> {
        let mut dispatches = ArrayVec::new();
        dispatches.extend(self.changes.map(|changes| self.prepare(&changes)));
        dispatches.push(self.best());
        if self.drawing == Drawing::Somewhere {
            dispatches.push(self.weigh());
        }
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

    /// The logits that rows are sampled from: their own and changed ones.
    fn sources(&self) -> [Argument; 3] {
        let changed = self.changes.map_or(self.logits, |changes| changes.logits);
        [Argument::read(self.logits), Argument::read(changed), Argument::read(self.settings)]
    }

    fn best(&self) -> Dispatch {
        let PartScratch { bests, .. } = self.parts.of(self.rows, self.vocab);
        let mut arguments = ArrayVec::from_iter(self.sources());
        arguments.extend([Argument::write(bests), self.arguments(0)]);
        Dispatch {
            kernel: Kernel { source: &SOURCES[3], entry: "sample_best" },
            arguments,
            grid: self.grid_of_parts(),
            work: Work {
                bytes_read: 4 * (self.rows * self.vocab) as u64,
                bytes_written: bests.length as u64,
                operations: 0,
            },
        }
    }

    fn weigh(&self) -> Dispatch {
        let PartScratch { bests, masses, within, lists } = self.parts.of(self.rows, self.vocab);
        let mut arguments = ArrayVec::from_iter(self.sources());
        arguments.extend([
            Argument::read(bests),
            Argument::write(masses),
            Argument::write(within),
            Argument::write(lists),
            self.arguments(0),
        ]);
        let logits = (self.rows * self.vocab) as u64;
        Dispatch {
            kernel: Kernel { source: &SOURCES[3], entry: "sample_weigh" },
            arguments,
            grid: self.grid_of_parts(),
            work: Work {
                bytes_read: 4 * logits,
                bytes_written: (masses.length + within.length + lists.length) as u64,
                // An exp is about 20.
                operations: 25 * logits,
            },
        }
    }

    fn choose(&self) -> Dispatch {
        let PartScratch { bests, masses, within, lists } = self.parts.of(self.rows, self.vocab);
        let mut arguments = ArrayVec::from_iter(self.sources());
        arguments.extend([
            Argument::read(bests),
            Argument::read(masses),
            Argument::read(within),
            Argument::read(lists),
            Argument::write(self.tokens),
            Argument::write(self.status),
            self.arguments(0),
        ]);
        let known = bests.length as u64;
        // A thread for each part's best, where nothing else is looked at.
        let few = self.vocab.div_ceil(PART).next_multiple_of(32) as u32;
        let (grid, bytes_read) = match self.drawing {
            Drawing::Nowhere => {
                (Grid { threadgroups: [self.rows as u32, 1, 1], threads: [few, 1, 1] }, known)
            }
            Drawing::Somewhere => (self.grid(), known + lists.length as u64),
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "sample_choose" },
            arguments,
            grid,
            work: Work { bytes_read, bytes_written: 12 * self.rows as u64, operations: 0 },
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
        let changes = self.changes.is_some().into();
        Argument::inline(&SampleArguments { vocab: self.vocab as u32, top: top as u32, changes })
    }

    /// A threadgroup a part of a row, a thread for sixteen logits.
    fn grid_of_parts(&self) -> Grid {
        let threads = self.vocab.min(PART).div_ceil(16).next_multiple_of(32) as u32;
        let threadgroups = [self.vocab.div_ceil(PART) as u32, self.rows as u32, 1];
        Grid { threadgroups, threads: [threads, 1, 1] }
    }

    /// A threadgroup a row. Results don't depend on how many threads it has, so small vocabularies take few.
    fn grid(&self) -> Grid {
        let threads = self.vocab.div_ceil(16).next_multiple_of(32).min(1024) as u32;
        Grid { threadgroups: [self.rows as u32, 1, 1], threads: [threads, 1, 1] }
    }
}
