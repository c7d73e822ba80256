//! A model on a device.

pub mod draws;
mod gating;
mod joints;
mod load;
mod parallel;
mod part;
mod pipeline;
mod rank;
mod uses;
mod weights;

use wootz_backend::cache::CacheShape;
use wootz_backend::model::Pipeline;
use wootz_backend::shard::Shard;
use wootz_backend::step::{Step, StepLimits};
use wootz_backend::{BackendError, Model};
use wootz_spec::ModelSpec;

pub use load::{GpuLoadProgress, GpuSettings};
pub use parallel::TensorParallel;
pub use weights::WeightBytes;

use crate::device::{Device, DeviceError, Dispatch, Kernel, Profile, Slice, Work};
use crate::hazards::with_barriers;
use crate::lower::{Lowering, StepData, StepPlaces};
use pipeline::Draws;

/// Steps whose data is in memory at the same time: one that runs, one that is encoded, one that is planned.
const STEP_BUFFERS: usize = 3;

/// Bytes of device memory by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// The weights.
    pub weights: WeightBytes,
    /// The key/value pool.
    pub cache: u64,
    /// Activations, attention's scratch, and what is uploaded for a step.
    pub activations: u64,
}

/// What a launch took, and what it had to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedLaunch {
    /// What ran.
    pub kernel: Kernel,
    /// How long.
    pub seconds: f64,
    /// What it costs at least.
    pub work: Work,
}

/// A model on a device. All memory is set aside, and every kernel that its steps can use is compiled, when it is loaded.
pub struct GpuModel {
    spec: ModelSpec,
    limits: StepLimits,
    memory: GpuMemory,
    device: Box<dyn Device>,
    lowering: Lowering,
    kernels: Vec<Kernel>,
    data: StepData,
    step_buffers: [Slice; STEP_BUFFERS],
    next_buffer: usize,
    draws: Draws,
    /// The logits of the last step.
    logits: Vec<f32>,
}

impl GpuModel {
    /// Puts a checkpoint on a device.
    ///
    /// # Errors
    /// When the checkpoint lacks a tensor or has it in another shape, when no kernel covers the model, or when the device
    /// has no room.
    pub fn load(
        spec: ModelSpec,
        checkpoint: &wootz_weights::Checkpoint,
        device: Box<dyn Device>,
        settings: &GpuSettings,
        progress: &mut dyn FnMut(GpuLoadProgress),
    ) -> Result<GpuModel, BackendError> {
        let whole = Shard::whole(&spec);
        load::load(spec, (checkpoint, &whole), device, settings, progress)
    }

    /// What its memory is for.
    pub fn memory(&self) -> GpuMemory {
        self.memory
    }

    /// The device that it runs on.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }

    /// Where everything lies.
    pub fn lowering(&self) -> &Lowering {
        &self.lowering
    }

    /// Every kernel that its steps can use.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// Writes a validated step's data to the next of the step buffers, and lowers it. The buffer must not be in use: no
    /// more than two steps are under way, and only one that was submitted moves on to the next buffer.
    ///
    /// # Errors
    /// When its page tables are too long, or the device can't be written to.
    fn encode(&mut self, step: &Step) -> Result<(Vec<Dispatch>, StepPlaces), BackendError> {
        StepData::check(&self.limits, step)?;
        let buffer = self.step_buffers[self.next_buffer];
        let mut places = self.data.fill(step, buffer);
        let bytes = &self.data.bytes;
        self.device.write(buffer.part(0, bytes.len()), bytes).map_err(failed)?;
        // Named also where no token is drawn by the step before: then such steps are the same list of launches.
        places.previous = self.draws.previous();
        let mut dispatches: Vec<Dispatch> = self.lowering.copies(&step.copies, places.copies).collect();
        dispatches.extend(self.lowering.lower(&self.data.tables, &places));
        Ok((dispatches, places))
    }

    /// Runs a step and waits for it. The answer is how many rows have logits.
    fn run(&mut self, step: &Step) -> Result<usize, BackendError> {
        step.validate(&self.limits)?;
        let (dispatches, places) = self.encode(step)?;
        let submission = self.device.submit(&with_barriers(dispatches), Profile::Whole).map_err(failed)?;
        self.device.wait(submission).map_err(failed)?;
        Ok(places.samples)
    }

    /// The logits of the step that ran last, `[samples, vocab]`.
    fn read_logits(&mut self, samples: usize, logits: &mut [f32]) -> Result<(), BackendError> {
        if logits.is_empty() {
            return Ok(());
        }
        self.device.read(self.lowering.logits(samples), bytemuck::cast_slice_mut(logits)).map_err(failed)
    }

    /// Where a page of the pool is, for one who copies it to or from so many bytes.
    fn page(&self, page: u32, bytes: usize) -> Result<Slice, BackendError> {
        let elements = self.cache().page_range(page, self.limits.pages, bytes)?;
        Ok(self.lowering.places.cache.pool.part(2 * elements.start, bytes))
    }

    /// Runs a step with a clock around each of its launches, which takes their overlap away.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn profile(&mut self, step: &Step) -> Result<Vec<TimedLaunch>, BackendError> {
        step.validate(&self.limits)?;
        let (dispatches, _) = self.encode(step)?;
        let work: Vec<Work> = dispatches.iter().map(|dispatch| dispatch.work).collect();
        let submission = self.device.submit(&with_barriers(dispatches), Profile::Kernels).map_err(failed)?;
        let timing = self.device.wait(submission).map_err(failed)?;
        let timed = timing.kernels.into_iter().zip(work);
        Ok(timed.map(|((kernel, seconds), work)| TimedLaunch { kernel, seconds, work }).collect())
    }

    /// The launches of a step, as a plan would list them.
    ///
    /// # Errors
    /// As [`Model::forward`], without anything being computed.
    pub fn plan(&mut self, step: &Step) -> Result<Vec<Dispatch>, BackendError> {
        step.validate(&self.limits)?;
        Ok(self.encode(step)?.0)
    }
}

impl Model for GpuModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        self.lowering.program.cache
    }

    fn limits(&self) -> StepLimits {
        self.limits
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        let samples = self.run(step)?;
        let mut logits = std::mem::take(&mut self.logits);
        logits.resize(samples * self.spec.vocab, 0.0);
        let read = self.read_logits(samples, &mut logits);
        self.logits = logits;
        read.map(|()| self.logits.as_slice())
    }

    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        let place = self.page(page, bytes.len())?;
        self.device.read_idle(place, bytes).map_err(failed)
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        let place = self.page(page, bytes.len())?;
        self.device.write_idle(place, bytes).map_err(failed)
    }

    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        Some(self)
    }
}

/// A device's error in the middle of a step.
fn failed(error: DeviceError) -> BackendError {
    BackendError::Device { reason: error.to_string() }
}

/// A device's error at load.
fn device_error(error: &DeviceError, remedy: &str) -> BackendError {
    match error {
        DeviceError::OutOfMemory { .. } => BackendError::Load { reason: format!("{error}; {remedy}") },
        error => BackendError::Load { reason: error.to_string() },
    }
}

impl std::fmt::Debug for GpuModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "GpuModel({}, {})", self.spec.architecture, self.device.facts().name)
    }
}
