//! A model on several devices that compute each step together: tensor parallelism (`wootz_backend::shard`).
//!
//! Each rank has a thread with a [`GpuModel`] of its own, of the rank's heads and feed-forward width. Every step goes to all
//! of them, and they meet at each sum. What is computed on all ranks is the same on all, bit for bit: they are devices of one
//! kind that run the same kernels on the same numbers. So each draws the same tokens and needs not be told them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

use wootz_backend::cache::CacheShape;
use wootz_backend::model::Pipeline;
use wootz_backend::program::cache_shape;
use wootz_backend::sampling::{Draw, DrawFailure, Logprobs, Sampled, SamplingSettings};
use wootz_backend::shard::Shard;
use wootz_backend::step::{Step, StepError, StepLimits};
use wootz_backend::{BackendError, Model};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use super::draws::{DrawLimits, DrawTables};
use super::rank::{Answer, Health, Rank};
use super::{GpuLoadProgress, GpuMemory, GpuModel, GpuSettings, TimedLaunch, load};
use crate::collective::{MOST_RANKS, Ranks};
use crate::device::{Device, Kernel};
use crate::lower::StepData;
use crate::select::Answers;

/// A model on several devices.
pub struct TensorParallel {
    spec: ModelSpec,
    cache: CacheShape,
    limits: StepLimits,
    memory: Vec<GpuMemory>,
    kernels: Vec<Kernel>,
    draws: DrawLimits,
    health: Arc<Health>,
    /// What is drawn in the steps that are under way.
    under_way: VecDeque<Arc<DrawTables>>,
    /// Tables of steps that are over, to be filled again.
    spare: Vec<Arc<DrawTables>>,
    /// Sampled rows of the step that was submitted last.
    last_samples: usize,
    /// The logits of the last step.
    logits: Vec<f32>,
    ranks: Vec<Rank>,
}

impl TensorParallel {
    /// Puts a checkpoint on devices, each of which takes its part.
    ///
    /// # Errors
    /// When the model can't be divided among them, they are not alike, or one of them can't load its part
    /// ([`GpuModel::load`]).
    pub fn load(
        spec: &ModelSpec,
        checkpoint: &Checkpoint,
        ranks: Ranks,
        settings: &GpuSettings,
        progress: &mut dyn FnMut(GpuLoadProgress),
    ) -> Result<TensorParallel, BackendError> {
        let count = ranks.devices.len();
        let refused = |reason: String| BackendError::Division { ranks: count, reason };
        if !(2..=MOST_RANKS).contains(&count) {
            return Err(refused(format!("2 to {MOST_RANKS} can share one")));
        }
        alike(&ranks.devices).map_err(refused)?;
        if settings.answers == Answers::Reproducible && count > 2 && !ranks.group.adds_in_order() {
            return Err(refused(
                "in which order more than two GPUs' parts are added up depends on what else is in a step, so answers \
                 that don't depend on it take one GPU or two"
                    .to_owned(),
            ));
        }
        let shards = Shard::divide(spec, checkpoint, count)?;
        let health = Arc::new(Health::new(ranks.group));
        let (send, reports) = mpsc::channel();
        let mut reporter = Some(send);
        let mut started = Vec::new();
        for (device, shard) in ranks.devices.into_iter().zip(shards) {
            let name = format!("GPU {} of {count} ({})", shard.rank() + 1, device.facts().name);
            // They are equally far, so one of them reports.
            let reporter = reporter.take();
            let (spec, checkpoint, settings) = (spec.clone(), checkpoint.clone(), settings.clone());
            let load = move || {
                let mut progress = |progress| {
                    if let Some(reporter) = &reporter {
                        // Listened to until it is dropped.
                        let _ = reporter.send(progress);
                    }
                };
                load::load(spec, (&checkpoint, &shard), device, &settings, &mut progress)
            };
            started.push(Rank::start(name, health.clone(), load)?);
        }
        reports.into_iter().for_each(progress);
        let (ranks, loaded): (Vec<Rank>, Vec<_>) = started.into_iter().unzip();
        // All are waited for, so that none goes on beside the next attempt.
        let loaded: Vec<_> = loaded.into_iter().map(Answer::wait).collect();
        loaded.into_iter().collect::<Result<(), _>>()?;
        TensorParallel::of(spec, health, ranks)
    }

    /// The model whose parts the ranks have.
    fn of(spec: &ModelSpec, health: Arc<Health>, ranks: Vec<Rank>) -> Result<TensorParallel, BackendError> {
        let about = |model: &mut GpuModel| Ok((model.limits(), model.memory(), model.kernels().to_vec()));
        let about = all(&ranks, &health, |_| about)?;
        let memory = about.iter().map(|(_, memory, _)| *memory).collect();
        let (limits, _, kernels) = about.into_iter().next().expect("there are at least two");
        let StepLimits { samples, vocab, positions: context, .. } = limits;
        Ok(TensorParallel {
            spec: spec.clone(),
            cache: cache_shape(spec),
            limits,
            memory,
            kernels,
            draws: DrawLimits { samples, vocab, context },
            health,
            under_way: VecDeque::new(),
            spare: Vec::new(),
            last_samples: 0,
            logits: Vec::new(),
            ranks,
        })
    }

    /// What the memory of each rank is for.
    pub fn memory(&self) -> &[GpuMemory] {
        &self.memory
    }

    /// Every kernel that a rank's steps can use.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// Runs a step with a clock around each launch of each rank: what those of the first took. A sum takes as long as the
    /// rank waits for the others, and for the transfer.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn profile(&mut self, step: &Step) -> Result<Vec<TimedLaunch>, BackendError> {
        step.validate(&self.limits)?;
        self.check_pages(step)?;
        let step = Arc::new(step.clone());
        let timed = all(&self.ranks, &self.health, |_| {
            let step = step.clone();
            move |model: &mut GpuModel| model.profile(&step)
        })?;
        Ok(timed.into_iter().next().unwrap_or_default())
    }

    /// What each rank would refuse is refused before any begins.
    fn check_pages(&self, step: &Step) -> Result<(), StepError> {
        StepData::check(&self.limits, step)
    }

    /// Bytes of one layer of a page, and of a rank's part of it.
    fn layer_bytes(&self) -> (usize, usize) {
        let whole = self.cache.page_bytes() / self.cache.layers.max(1);
        (whole, whole / self.ranks.len())
    }
}

/// Asks all ranks, and waits for all: what each answers.
///
/// # Errors
/// Why the first of them failed.
fn all<T, W>(ranks: &[Rank], health: &Health, work: impl Fn(usize) -> W) -> Result<Vec<T>, BackendError>
where
    T: Send + 'static,
    W: FnOnce(&mut GpuModel) -> Result<T, BackendError> + Send + 'static,
{
    let asked: Vec<_> = ranks.iter().enumerate().map(|(rank, thread)| thread.ask(work(rank))).collect();
    let answers: Vec<Result<T, BackendError>> = asked.into_iter().map(Answer::wait).collect();
    health.check()?;
    answers.into_iter().collect()
}

/// Refuses devices of different kinds: they might run different kernels, whose results differ in the last bits.
fn alike(devices: &[Box<dyn Device>]) -> Result<(), String> {
    let kind = |device: &dyn Device| {
        let facts = device.facts();
        (facts.name.clone(), facts.family, facts.cores, facts.driver.clone(), facts.matrix_library)
    };
    let Some((first, others)) = devices.split_first() else { return Ok(()) };
    match others.iter().find(|other| kind(other.as_ref()) != kind(first.as_ref())) {
        None => Ok(()),
        Some(other) => Err(format!(
            "they have to be alike, and are {} ({:?} cores) and {} ({:?} cores)",
            first.facts().name,
            first.facts().cores,
            other.facts().name,
            other.facts().cores
        )),
    }
}

impl Model for TensorParallel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        self.cache
    }

    fn limits(&self) -> StepLimits {
        self.limits
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        step.validate(&self.limits)?;
        self.check_pages(step)?;
        let step = Arc::new(step.clone());
        // The first rank's logits are all ranks'; it fills the vector and gives it back.
        let logits = Cell::new(Some(std::mem::take(&mut self.logits)));
        let answers = all(&self.ranks, &self.health, |_| {
            // Of the ranks the first takes it, and the others find nothing.
            let (step, logits) = (step.clone(), logits.take());
            move |model: &mut GpuModel| {
                let samples = model.run(&step)?;
                let Some(mut logits) = logits else { return Ok(None) };
                logits.resize(samples * model.spec.vocab, 0.0);
                model.read_logits(samples, &mut logits)?;
                Ok(Some(logits))
            }
        })?;
        self.logits = answers.into_iter().flatten().next().unwrap_or_default();
        Ok(&self.logits)
    }

    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.cache.page_range(page, self.limits.pages, bytes.len())?;
        let (whole, part) = self.layer_bytes();
        let length = self.cache.layers * part;
        let parts = all(&self.ranks, &self.health, |_| {
            move |model: &mut GpuModel| {
                let mut bytes = vec![0; length];
                model.read_page(page, &mut bytes).map(|()| bytes)
            }
        })?;
        // The heads of the ranks lie side by side in each layer.
        for (layer, bytes) in bytes.chunks_exact_mut(whole).enumerate() {
            for (bytes, of_rank) in bytes.chunks_exact_mut(part).zip(&parts) {
                bytes.copy_from_slice(&of_rank[layer * part..(layer + 1) * part]);
            }
        }
        Ok(())
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.cache.page_range(page, self.limits.pages, bytes.len())?;
        let (whole, part) = self.layer_bytes();
        let written = all(&self.ranks, &self.health, |rank| {
            let layers = bytes.chunks_exact(whole);
            let of_rank = layers.flat_map(|layer| &layer[rank * part..(rank + 1) * part]).copied();
            let of_rank: Vec<u8> = of_rank.collect();
            move |model: &mut GpuModel| model.write_page(page, &of_rank)
        });
        written.map(drop)
    }

    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        Some(self)
    }
}

impl Pipeline for TensorParallel {
    fn draws(&self, settings: &SamplingSettings, logprobs: Logprobs) -> bool {
        self.draws.allow(settings, logprobs)
    }

    fn submit(&mut self, step: &Step, draws: &[Draw<'_>]) -> Result<(), BackendError> {
        self.health.check()?;
        step.validate_after(&self.limits, self.last_samples)?;
        self.check_pages(step)?;
        let mut tables = self.spare.pop().unwrap_or_default();
        Arc::make_mut(&mut tables).fill(draws, self.draws.vocab);
        let step = Arc::new(step.clone());
        for rank in &self.ranks {
            let (step, tables) = (step.clone(), tables.clone());
            // A rank that fails here is found out when the step is collected.
            rank.ask(move |model| model.start(&step, tables));
        }
        self.last_samples = draws.len();
        self.under_way.push_back(tables);
        Ok(())
    }

    fn collect(&mut self) -> Result<Vec<Result<Sampled, DrawFailure>>, BackendError> {
        let tables = self.under_way.pop_front().expect("a step is under way");
        let drawn = all(&self.ranks, &self.health, |_| |model: &mut GpuModel| model.end());
        self.spare.push(tables);
        let mut drawn = drawn?.into_iter();
        let first = drawn.next().unwrap_or_default();
        let tokens = |drawn: &[Result<Sampled, DrawFailure>]| -> Vec<Option<u32>> {
            drawn.iter().map(|row| row.as_ref().ok().map(|sampled| sampled.token)).collect()
        };
        if drawn.any(|other| tokens(&other) != tokens(&first)) {
            // Their keys and values are of different answers from here on.
            self.health.fail("the GPUs have drawn different tokens from what should be the same logits");
            self.health.check()?;
        }
        Ok(first)
    }
}

impl std::fmt::Debug for TensorParallel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TensorParallel({}, {} ranks)", self.spec.architecture, self.ranks.len())
    }
}
