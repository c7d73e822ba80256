//! Steps that follow each other without a wait: tokens are drawn on the device and stay there for the next step.

use std::collections::VecDeque;
use std::sync::Arc;

use wootz_backend::BackendError;
use wootz_backend::model::Pipeline;
use wootz_backend::sampling::{Draw, DrawFailure, Logprobs, Sampled, SamplingSettings};
use wootz_backend::step::{Step, StepLimits};

use super::draws::{DrawInputs, DrawLimits, DrawResults, DrawScratch, DrawTables};
use super::{GpuModel, STEP_BUFFERS, device_error, failed};
use crate::device::{Device, DeviceError, Dispatch, Profile, Slice, Submission};
use crate::hazards::with_barriers;
use crate::kernels::sample::PartScratch;

/// What drawing on the device takes, and the steps that have been submitted.
#[derive(Debug)]
pub(super) struct Draws {
    limits: DrawLimits,
    scratch: DrawScratch,
    /// A step has one of these while it is under way, and the step after it reads what it drew.
    places: [(DrawInputs, DrawResults); STEP_BUFFERS],
    /// Which of them the next step takes.
    next: usize,
    /// Sampled rows of the step that was submitted last.
    last_samples: usize,
    under_way: VecDeque<UnderWay>,
    /// Tables of steps that are over, to be filled again.
    spare: Vec<Arc<DrawTables>>,
    /// Bytes of all of it.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct UnderWay {
    submission: Submission,
    tables: Arc<DrawTables>,
    results: DrawResults,
}

impl Draws {
    /// Sets everything aside.
    pub(super) fn new(device: &mut dyn Device, limits: &StepLimits) -> Result<Draws, BackendError> {
        let StepLimits { samples, vocab, positions: context, .. } = *limits;
        let draws = DrawLimits { samples, vocab, context };
        let mut bytes = 0;
        let mut slice = |length: usize| {
            bytes += length as u64;
            let buffer = device.allocate(length, "drawing tokens");
            let buffer =
                buffer.map_err(|error| device_error(&error, "ask for fewer sampled rows in a step"))?;
            Ok::<_, BackendError>(Slice { buffer, offset: 0, length })
        };
        let [changed, counts, bests, masses, within, lists] = draws.scratch_bytes();
        let parts = PartScratch {
            bests: slice(bests)?,
            masses: slice(masses)?,
            within: slice(within)?,
            lists: slice(lists)?,
        };
        let scratch = DrawScratch { changed: slice(changed)?, counts: slice(counts)?, parts };
        let mut place = || {
            let [rows, bias_tokens, bias_values, history] = draws.input_bytes();
            let [tokens, status, chosen, top_tokens, top_logprobs] = draws.result_bytes();
            let inputs = DrawInputs {
                rows: slice(rows)?,
                bias_tokens: slice(bias_tokens)?,
                bias_values: slice(bias_values)?,
                history: slice(history)?,
            };
            let results = DrawResults {
                tokens: slice(tokens)?,
                status: slice(status)?,
                chosen: slice(chosen)?,
                top_tokens: slice(top_tokens)?,
                top_logprobs: slice(top_logprobs)?,
            };
            Ok::<_, BackendError>((inputs, results))
        };
        let places = [place()?, place()?, place()?];
        let (under_way, spare) = (VecDeque::new(), Vec::new());
        Ok(Draws { limits: draws, scratch, places, next: 0, last_samples: 0, under_way, spare, bytes })
    }

    /// The tokens that the step before the next draws.
    pub(super) fn previous(&self) -> Slice {
        self.places[(self.next + STEP_BUFFERS - 1) % STEP_BUFFERS].1.tokens
    }

    /// Launches with every kernel that drawing can use.
    pub(super) fn every_kernel(&self, logits: Slice) -> Vec<Dispatch> {
        let settings = SamplingSettings { presence_penalty: 0.5, ..SamplingSettings::default() };
        let logprobs = Logprobs::Top(1);
        if !self.limits.allow(&settings, logprobs) {
            // The vocabulary is one that is drawn from on the host.
            return Vec::new();
        }
        let draw = Draw { settings: &settings, logprobs, context: &[0], pending: None, index: 0 };
        let mut tables = DrawTables::default();
        tables.fill(&[draw], self.limits.vocab);
        let (inputs, results) = &self.places[0];
        let places = (inputs, &self.scratch, results);
        tables.dispatches(self.limits.vocab, logits, places, results.tokens).to_vec()
    }
}

impl Pipeline for GpuModel {
    fn draws(&self, settings: &SamplingSettings, logprobs: Logprobs) -> bool {
        self.draws.limits.allow(settings, logprobs)
    }

    fn submit(&mut self, step: &Step, draws: &[Draw<'_>]) -> Result<(), BackendError> {
        let mut tables = self.draws.spare.pop().unwrap_or_default();
        // Nobody else holds it: it was given back.
        Arc::make_mut(&mut tables).fill(draws, self.draws.limits.vocab);
        self.start(step, tables)
    }

    fn collect(&mut self) -> Result<Vec<Result<Sampled, DrawFailure>>, BackendError> {
        let tables = self.draws.under_way.front().map(|step| Arc::clone(&step.tables));
        let drawn = self.end();
        self.draws.spare.extend(tables);
        drawn
    }
}

impl GpuModel {
    /// Starts a step, of which tokens are drawn as the tables say: [`Pipeline::submit`].
    pub(super) fn start(&mut self, step: &Step, tables: Arc<DrawTables>) -> Result<(), BackendError> {
        step.validate_after(&self.limits, self.draws.last_samples)?;
        let (mut dispatches, _) = self.encode(step)?;
        let (inputs, results) = self.draws.places[self.draws.next];
        let samples = tables.samples();
        let mut start = || -> Result<Submission, DeviceError> {
            if samples > 0 {
                tables.write(&mut *self.device, &inputs)?;
                let previous = self.draws.previous();
                let places = (&inputs, &self.draws.scratch, &results);
                let logits = self.lowering.logits(samples);
                dispatches.extend(tables.dispatches(self.draws.limits.vocab, logits, places, previous));
            }
            self.device.submit(&with_barriers(std::mem::take(&mut dispatches)), Profile::Whole)
        };
        let submission = start().map_err(failed)?;
        self.next_buffer = (self.next_buffer + 1) % STEP_BUFFERS;
        self.draws.next = (self.draws.next + 1) % STEP_BUFFERS;
        self.draws.last_samples = samples;
        self.draws.under_way.push_back(UnderWay { submission, tables, results });
        Ok(())
    }

    /// Waits for the oldest step that was started: [`Pipeline::collect`].
    pub(super) fn end(&mut self) -> Result<Vec<Result<Sampled, DrawFailure>>, BackendError> {
        let UnderWay { submission, tables, results } =
            self.draws.under_way.pop_front().expect("a step is under way");
        self.device.wait(submission).map_err(failed)?;
        tables.read(&mut *self.device, &results).map_err(failed)
    }
}
