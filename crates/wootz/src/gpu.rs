//! A model on one GPU, or on several that compute each of its steps together.

use wootz_backend::BackendError;
use wootz_backend::model::Model;
use wootz_backend::step::Step;
use wootz_gpu::Device;
use wootz_gpu::collective::Ranks;
use wootz_gpu::device::{DeviceFacts, Kernel};
use wootz_gpu::model::{GpuLoadProgress, GpuModel, GpuSettings, TensorParallel, TimedLaunch, WeightBytes};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// GPUs that a model goes to.
pub enum Gpus {
    /// One, or what stands in for one.
    One(Box<dyn Device>),
    /// Several, which are alike.
    Several(Ranks),
}

impl Gpus {
    /// What they are.
    pub fn facts(&self) -> &DeviceFacts {
        match self {
            Gpus::One(device) => device.facts(),
            Gpus::Several(ranks) => ranks.devices[0].facts(),
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Gpus::One(_) => 1,
            Gpus::Several(ranks) => ranks.devices.len(),
        }
    }

    /// Puts a model there.
    pub fn load(
        self,
        spec: ModelSpec,
        checkpoint: &Checkpoint,
        settings: &GpuSettings,
        progress: &mut dyn FnMut(GpuLoadProgress),
    ) -> Result<OnGpus, BackendError> {
        Ok(match self {
            Gpus::One(device) => {
                OnGpus::One(Box::new(GpuModel::load(spec, checkpoint, device, settings, progress)?))
            }
            Gpus::Several(ranks) => {
                OnGpus::Several(Box::new(TensorParallel::load(&spec, checkpoint, ranks, settings, progress)?))
            }
        })
    }
}

/// A model that is there.
pub enum OnGpus {
    /// On one.
    One(Box<GpuModel>),
    /// On several.
    Several(Box<TensorParallel>),
}

impl OnGpus {
    /// As any model.
    pub fn model(&mut self) -> &mut dyn Model {
        match self {
            OnGpus::One(model) => model.as_mut(),
            OnGpus::Several(model) => model.as_mut(),
        }
    }

    /// As any model, for good.
    pub fn into_model(self) -> Box<dyn Model> {
        match self {
            OnGpus::One(model) => model,
            OnGpus::Several(model) => model,
        }
    }

    /// Every kernel that steps can use.
    pub fn kernels(&self) -> &[Kernel] {
        match self {
            OnGpus::One(model) => model.kernels(),
            OnGpus::Several(model) => model.kernels(),
        }
    }

    /// Bytes of weights, on all GPUs together.
    pub fn weight_bytes(&self) -> u64 {
        let sum = |weights: WeightBytes| weights.mapped + weights.own;
        match self {
            OnGpus::One(model) => sum(model.memory().weights),
            OnGpus::Several(model) => model.memory().iter().map(|memory| sum(memory.weights)).sum(),
        }
    }

    /// Runs a step with a clock around each launch, of the first GPU.
    pub fn profile(&mut self, step: &Step) -> Result<Vec<TimedLaunch>, BackendError> {
        match self {
            OnGpus::One(model) => model.profile(step),
            OnGpus::Several(model) => model.profile(step),
        }
    }
}
