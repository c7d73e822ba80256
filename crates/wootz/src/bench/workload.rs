//! The two things that are measured: reading a prompt, and generating.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use wootz_backend::BackendError;
use wootz_backend::cache::pages_for;
use wootz_backend::model::{Model, Pipeline};
use wootz_backend::sampling::{Draw, Logprobs, SamplingSettings};
use wootz_backend::step::{SequenceSlice, Step, StepLimits};

use super::report::Measurement;
use super::statistics::Summary;
use crate::failure::Failure;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// One sequence's prompt, from an empty context.
    Prompt {
        /// Its length.
        tokens: usize,
    },
    /// Several sequences, a token each in a step, from an empty context.
    Generation {
        /// Tokens of each.
        tokens: usize,
        /// Sequences.
        batch: usize,
    },
}

impl Workload {
    /// Tokens that it computes.
    pub fn tokens(self) -> usize {
        match self {
            Workload::Prompt { tokens } => tokens,
            Workload::Generation { tokens, batch } => tokens * batch,
        }
    }

    /// Steps that it takes where a step has at most `rows` rows.
    pub fn steps(self, rows: usize) -> usize {
        match self {
            Workload::Prompt { tokens } => tokens.div_ceil(rows),
            Workload::Generation { tokens, .. } => tokens,
        }
    }

    /// Pages of the pool that it writes.
    pub fn pages(self) -> usize {
        match self {
            Workload::Prompt { tokens } => pages_for(tokens),
            Workload::Generation { tokens, batch } => batch * pages_for(tokens),
        }
    }

    /// Sequences in a step.
    pub fn batch(self) -> usize {
        match self {
            Workload::Prompt { .. } => 1,
            Workload::Generation { batch, .. } => batch,
        }
    }

    /// Tokens of one sequence.
    pub fn length(self) -> usize {
        match self {
            Workload::Prompt { tokens } | Workload::Generation { tokens, .. } => tokens,
        }
    }

    /// The name in tables: llama-bench's, with the batch where there is one.
    pub fn name(self) -> String {
        match self {
            Workload::Prompt { tokens } => format!("pp{tokens}"),
            Workload::Generation { tokens, batch: 1 } => format!("tg{tokens}"),
            Workload::Generation { tokens, batch } => format!("tg{tokens}×{batch}"),
        }
    }

    /// "prompt" or "generation".
    pub fn kind(self) -> &'static str {
        match self {
            Workload::Prompt { .. } => "prompt",
            Workload::Generation { .. } => "generation",
        }
    }

    /// Measures it so often, after a run that is not counted.
    pub fn measure(
        self,
        model: &mut dyn Model,
        repeats: u32,
        bar: &ProgressBar,
    ) -> Result<Measurement, Failure> {
        self.warm_up(model)?;
        let mut seconds = Vec::new();
        for _ in 0..repeats {
            seconds.push(self.run(model)?.as_secs_f64());
            bar.inc(1);
        }
        let rates: Vec<f64> = seconds.iter().map(|seconds| self.tokens() as f64 / seconds).collect();
        Ok(Measurement {
            test: self.name(),
            kind: self.kind(),
            tokens: self.length(),
            batch: self.batch(),
            threads: None,
            tokens_per_second: Summary::of(&rates),
            seconds,
            share_of_limit: None,
            bound: None,
        })
    }

    /// Runs it once, and says how long it took.
    fn run(self, model: &mut dyn Model) -> Result<Duration, Failure> {
        self.run_part(model, self.length())
    }

    /// Runs enough of it that memory is touched and threads are awake.
    fn warm_up(self, model: &mut dyn Model) -> Result<(), Failure> {
        let part = match self {
            Workload::Prompt { tokens } => tokens,
            Workload::Generation { tokens, .. } => tokens.min(2),
        };
        self.run_part(model, part).map(drop)
    }

    fn run_part(self, model: &mut dyn Model, length: usize) -> Result<Duration, Failure> {
        let steps = self.steps_of(length, &model.limits());
        let begun = Instant::now();
        match (self, model.pipeline()) {
            (Workload::Generation { .. }, Some(pipeline)) => run_ahead(pipeline, &steps)?,
            _ => {
                for step in &steps {
                    model.forward(step)?;
                }
            }
        }
        Ok(begun.elapsed())
    }

    /// Its steps, of which the sequences become `length` tokens long.
    pub fn steps_of(self, length: usize, limits: &StepLimits) -> Vec<Step> {
        let mut steps = Vec::new();
        match self {
            Workload::Prompt { .. } => {
                for start in (0..length).step_by(limits.rows) {
                    let end = length.min(start + limits.rows);
                    let mut step = Step::default();
                    add_rows(&mut step, Rows { start, end, first_page: 0 }, limits.vocab);
                    // Nobody looks at the logits of a prompt's earlier tokens.
                    if end == length {
                        step.sample_rows.push((end - start - 1) as u32);
                    }
                    steps.push(step);
                }
            }
            Workload::Generation { tokens, batch } => {
                for position in 0..length {
                    let mut step = Step::default();
                    for sequence in 0..batch {
                        let first_page = sequence * pages_for(tokens);
                        add_rows(
                            &mut step,
                            Rows { start: position, end: position + 1, first_page },
                            limits.vocab,
                        );
                        step.sample_rows.push(sequence as u32);
                    }
                    steps.push(step);
                }
            }
        }
        steps
    }
}

/// Runs steps as the engine does where a device draws tokens itself: the next is submitted while one is under way.
fn run_ahead(pipeline: &mut dyn Pipeline, steps: &[Step]) -> Result<(), BackendError> {
    let settings = SamplingSettings::greedy();
    let draw = Draw { settings: &settings, logprobs: Logprobs::None, context: &[0], pending: None, index: 0 };
    for (index, step) in steps.iter().enumerate() {
        pipeline.submit(step, &vec![draw; step.sample_rows.len()])?;
        if index > 0 {
            pipeline.collect()?;
        }
    }
    if !steps.is_empty() {
        pipeline.collect()?;
    }
    Ok(())
}

/// Positions of one sequence, whose pages follow each other in the pool.
struct Rows {
    start: usize,
    end: usize,
    first_page: usize,
}

/// Adds them to a step, with tokens that look random and are always the same.
fn add_rows(step: &mut Step, Rows { start, end, first_page }: Rows, vocab: usize) {
    let (row, page) = (step.tokens.len(), step.page_table.len());
    let pages = first_page as u32..(first_page + pages_for(end)) as u32;
    step.tokens.extend((start..end).map(|position| {
        let mixed = ((position + 31 * first_page) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 33) % vocab as u64) as u32
    }));
    step.positions.extend(start as u32..end as u32);
    step.page_table.extend(pages);
    step.sequences.push(SequenceSlice { rows: row..step.tokens.len(), pages: page..step.page_table.len() });
}
