//! Why a backend cannot load a model, or cannot run a step.

use crate::step::StepError;

/// What went wrong in a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The checkpoint can't be read.
    #[error(transparent)]
    Weights(#[from] wootz_weights::WeightsError),
    /// The configuration is not a model that runs here.
    #[error(transparent)]
    Spec(#[from] wootz_spec::SpecError),
    /// A tensor has another shape than the configuration gives it.
    #[error("tensor {name} is {found:?}, and has to be {expected:?} by the model's configuration")]
    WrongShape {
        /// The tensor's name.
        name: String,
        /// Its shape in the checkpoint.
        found: Vec<usize>,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },
    /// The memory asked for is more than can be had.
    #[error("{purpose} would take {bytes} bytes, which this machine does not give; {remedy}")]
    OutOfMemory {
        /// What the memory is for.
        purpose: &'static str,
        /// How much.
        bytes: u64,
        /// What could be asked for instead.
        remedy: &'static str,
    },
    /// A device can't take the model.
    #[error("the model can't be loaded on the device: {reason}")]
    Load {
        /// What is missing, and what could be asked for instead.
        reason: String,
    },
    /// The model can't be divided among so many devices.
    #[error("the model can't be divided among {ranks} GPUs: {reason}")]
    Division {
        /// How many devices.
        ranks: usize,
        /// What does not divide.
        reason: String,
    },
    /// No kernel of a device computes a part of the model.
    #[error("no kernel computes {what}; possible are {possible}")]
    NoKernel {
        /// The part, with its shape.
        what: String,
        /// What kernels compute.
        possible: String,
    },
    /// A matrix could not be packed.
    #[error(transparent)]
    Pack(#[from] crate::cpu::matmul::PackError),
    /// The step is not one that this model can run.
    #[error("the step is malformed: {0}")]
    Step(#[from] StepError),
    /// A page that can't be read or written.
    #[error(
        "page {page} can't be copied to or from {found} bytes: the pool has {pages} pages of {page_bytes} bytes"
    )]
    Page {
        /// The page asked for.
        page: u32,
        /// Bytes given for it.
        found: usize,
        /// Pages of the pool.
        pages: usize,
        /// Bytes of each.
        page_bytes: usize,
    },
    /// The device failed in the middle of a step; the step's results are void, the model is not.
    #[error("the device failed during a step: {reason}")]
    Device {
        /// What is known of it.
        reason: String,
    },
}
