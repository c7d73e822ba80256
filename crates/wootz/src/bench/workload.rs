//! The two things that are measured: reading a prompt, and generating.

use std::ops::Range;
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
    /// One sequence's prompt.
    Prompt {
        /// Its length.
        tokens: usize,
        /// Tokens of the context before it, which are not measured.
        depth: usize,
    },
    /// Several sequences, a token each in a step.
    Generation {
        /// Tokens of each.
        tokens: usize,
        /// Sequences.
        batch: usize,
        /// Tokens of each one's context before, which are not measured.
        depth: usize,
    },
}

impl Workload {
    /// Tokens that it computes.
    pub fn tokens(self) -> usize {
        match self {
            Workload::Prompt { tokens, .. } => tokens,
            Workload::Generation { tokens, batch, .. } => tokens * batch,
        }
    }

    /// Steps that it takes where a step has at most `rows` rows.
    pub fn steps(self, rows: usize) -> usize {
        match self {
            Workload::Prompt { tokens, .. } => tokens.div_ceil(rows),
            Workload::Generation { tokens, .. } => tokens,
        }
    }

    /// Pages of the pool that it writes.
    pub fn pages(self) -> usize {
        self.batch() * pages_for(self.context())
    }

    /// Sequences in a step.
    pub fn batch(self) -> usize {
        match self {
            Workload::Prompt { .. } => 1,
            Workload::Generation { batch, .. } => batch,
        }
    }

    /// Tokens that it computes of one sequence.
    pub fn length(self) -> usize {
        match self {
            Workload::Prompt { tokens, .. } | Workload::Generation { tokens, .. } => tokens,
        }
    }

    /// Tokens of one sequence before those.
    pub fn depth(self) -> usize {
        match self {
            Workload::Prompt { depth, .. } | Workload::Generation { depth, .. } => depth,
        }
    }

    /// Tokens of one sequence in the end.
    pub fn context(self) -> usize {
        self.depth() + self.length()
    }

    /// The name in tables: llama-bench's, with the batch where there is one.
    pub fn name(self) -> String {
        let name = match self {
            Workload::Prompt { tokens, .. } => format!("pp{tokens}"),
            Workload::Generation { tokens, batch: 1, .. } => format!("tg{tokens}"),
            Workload::Generation { tokens, batch, .. } => format!("tg{tokens}×{batch}"),
        };
        match self.depth() {
            0 => name,
            depth => format!("{name} @ d{depth}"),
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
            depth: self.depth(),
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

    /// Fills the context, and runs enough that memory is touched and threads are awake.
    fn warm_up(self, model: &mut dyn Model) -> Result<(), Failure> {
        for step in self.context_steps(&model.limits()) {
            model.forward(&step)?;
        }
        let part = match self {
            Workload::Prompt { tokens, .. } => tokens,
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

    /// Its steps, of which the sequences become `length` tokens longer than their context before.
    pub fn steps_of(self, length: usize, limits: &StepLimits) -> Vec<Step> {
        let end = self.depth() + length;
        match self {
            Workload::Prompt { .. } => {
                let mut steps = self.chunks(0, self.depth()..end, limits);
                // Nobody looks at the logits of a prompt's earlier tokens.
                if let Some(last) = steps.last_mut() {
                    last.sample_rows.push((last.tokens.len() - 1) as u32);
                }
                steps
            }
            Workload::Generation { batch, .. } => (self.depth()..end)
                .map(|position| {
                    let mut step = Step::default();
                    for sequence in 0..batch {
                        self.add_rows(&mut step, sequence, position..position + 1, limits.vocab);
                        step.sample_rows.push(sequence as u32);
                    }
                    step
                })
                .collect(),
        }
    }

    /// The steps that write the context before, one sequence after the other.
    fn context_steps(self, limits: &StepLimits) -> Vec<Step> {
        (0..self.batch()).flat_map(|sequence| self.chunks(sequence, 0..self.depth(), limits)).collect()
    }

    /// Positions of one sequence, as many in a step as it holds.
    fn chunks(self, sequence: usize, positions: Range<usize>, limits: &StepLimits) -> Vec<Step> {
        let end = positions.end;
        positions
            .step_by(limits.rows)
            .map(|start| {
                let mut step = Step::default();
                self.add_rows(&mut step, sequence, start..end.min(start + limits.rows), limits.vocab);
                step
            })
            .collect()
    }

    /// Adds positions of one sequence to a step, with tokens that look random and are always the same. The pages of a sequence
    /// follow each other in the pool.
    fn add_rows(self, step: &mut Step, sequence: usize, positions: Range<usize>, vocab: usize) {
        let (row, page) = (step.tokens.len(), step.page_table.len());
        let first_page = sequence * pages_for(self.context());
        step.tokens.extend(positions.clone().map(|position| {
            let mixed = ((position + 31 * first_page) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed >> 33) % vocab as u64) as u32
        }));
        step.page_table.extend(first_page as u32..(first_page + pages_for(positions.end)) as u32);
        step.positions.extend(positions.start as u32..positions.end as u32);
        step.sequences
            .push(SequenceSlice { rows: row..step.tokens.len(), pages: page..step.page_table.len() });
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StepLimits = StepLimits { vocab: 1000, positions: 1000, rows: 16, samples: 8, pages: 100 };

    /// Positions of each sequence's steps.
    fn positions(steps: &[Step]) -> Vec<&[u32]> {
        steps
            .iter()
            .flat_map(|step| step.sequences.iter().map(|one| &step.positions[one.rows.clone()]))
            .collect()
    }

    #[test]
    fn a_context_before_is_written_whole_and_then_gone_on_from() {
        let workload = Workload::Generation { tokens: 2, batch: 2, depth: 40 };
        let before = workload.context_steps(&LIMITS);
        let chunks: Vec<Vec<u32>> = [0..16, 16..32, 32..40].map(|part| part.collect()).into();
        assert_eq!(positions(&before), [&chunks[..], &chunks[..]].concat());
        let steps = workload.steps_of(2, &LIMITS);
        assert_eq!(positions(&steps), [[40], [40], [41], [41]]);
        assert_eq!(steps[1].page_table, [0, 1, 2, 3, 4, 5]);
        assert_eq!(before[5].page_table, [3, 4, 5]);
        assert_eq!(workload.pages(), 6);
        assert_eq!(workload.name(), "tg2×2 @ d40");
    }

    #[test]
    fn a_prompt_after_a_context_samples_its_last_token() {
        let steps = Workload::Prompt { tokens: 20, depth: 5 }.steps_of(20, &LIMITS);
        let chunks: Vec<Vec<u32>> = [5..21, 21..25].map(|part| part.collect()).into();
        assert_eq!(positions(&steps), chunks);
        assert_eq!(steps.iter().map(|step| step.sample_rows.clone()).collect::<Vec<_>>(), [vec![], vec![3]]);
    }
}
