//! A model loaded on the CPU.

use std::sync::{Arc, PoisonError};

use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use super::executor::Executor;
use super::load::{LoadProgress, load};
use super::pool::{Body, Pool};
use super::simd::Isa;
use super::topology;
use crate::cache::CacheShape;
use crate::error::BackendError;
use crate::model::Model;
use crate::ops::Buffer;
use crate::step::{Step, StepLimits};

/// How a model is loaded on the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSettings {
    /// Threads that compute, the caller of `forward` among them; 0 counts as 1.
    pub threads: usize,
    /// The instruction set.
    pub isa: Isa,
    /// Pages of the key/value pool, of 16 tokens each. Memory is used as pages are written.
    pub pages: usize,
    /// Rows of a step at most.
    pub rows: usize,
    /// Sampled rows of a step at most.
    pub samples: usize,
}

impl Default for CpuSettings {
    /// A thread a physical core, the best instruction set, 4096 tokens of context, 512 rows, 32 of them sampled.
    fn default() -> Self {
        let threads = topology::default_threads();
        Self { threads, isa: Isa::detect(), pages: 256, rows: 512, samples: 32 }
    }
}

/// Bytes of memory by what they are for. Those of the cache and the activations are address space: the system gives
/// memory for what is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Packed matrices and vectors.
    pub weights: usize,
    /// The key/value pool.
    pub cache: usize,
    /// Everything that a step computes in.
    pub activations: usize,
}

/// A model on the CPU, with its threads.
pub struct CpuModel {
    spec: ModelSpec,
    limits: StepLimits,
    logits: Buffer,
    tile_rows: usize,
    executor: Arc<Executor>,
    pool: Pool,
}

impl CpuModel {
    /// Packs a checkpoint's weights and sets aside all memory that steps will use. `progress` is told of every tensor.
    ///
    /// # Errors
    /// When the checkpoint lacks a tensor, has it in another shape, or there is no memory.
    pub fn load(
        spec: ModelSpec,
        checkpoint: &Checkpoint,
        settings: &CpuSettings,
        progress: &mut (dyn FnMut(LoadProgress) + Send),
    ) -> Result<Self, BackendError> {
        let loaded = load(&spec, checkpoint, settings, progress)?;
        let executor = Arc::new(loaded.executor);
        let body: Arc<Body> = {
            let executor = executor.clone();
            Arc::new(move |worker| executor.run(worker))
        };
        let pool = Pool::new(settings.threads, body).map_err(|cause| BackendError::Device {
            reason: format!("no thread could be started: {cause}"),
        })?;
        let (limits, logits, tile_rows) = (loaded.limits, loaded.logits, loaded.tile_rows);
        Ok(Self { spec, limits, logits, tile_rows, executor, pool })
    }

    /// What its memory is for.
    pub fn memory(&self) -> Memory {
        self.executor.memory()
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set that it runs on.
    pub fn isa(&self) -> Isa {
        self.executor.isa
    }

    /// Bytes of weights that a step of one row reads.
    pub fn bytes_per_token(&self) -> usize {
        self.executor.bytes_per_token()
    }
}

impl Model for CpuModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        self.executor.cache
    }

    fn limits(&self) -> StepLimits {
        self.limits
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        step.validate(&self.limits)?;
        self.executor.plan.write().unwrap_or_else(PoisonError::into_inner).set(step, self.tile_rows);
        self.executor.copy_pages(&step.copies);
        self.pool.run().map_err(|reason| BackendError::Device { reason })?;
        let place = self.executor.shared.place(self.logits);
        let end = place.start + step.sample_rows.len() * place.width;
        Ok(self.executor.shared.elements().read(place.start..end))
    }

    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        let range = self.executor.cache.page_range(page, self.limits.pages, bytes.len())?;
        bytes.copy_from_slice(bytemuck::cast_slice(self.executor.pool.read(range)));
        Ok(())
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        let range = self.executor.cache.page_range(page, self.limits.pages, bytes.len())?;
        bytemuck::cast_slice_mut(self.executor.pool.write(range)).copy_from_slice(bytes);
        Ok(())
    }
}

impl std::fmt::Debug for CpuModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuModel({}, {} threads, {})", self.spec.architecture, self.threads(), self.isa())
    }
}
