//! From a path to a model that can answer: weights and tokenizer at the same time, with a progress bar if it takes long.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::{CpuModel, CpuSettings, LoadProgress};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;
use wootz_weights::tokenizer::Tokenizer;

use wootz_backend::model::Model;
use wootz_backend::program::program;
use wootz_gpu::device::DeviceFacts;
use wootz_gpu::model::{GpuLoadProgress, GpuSettings};
use wootz_gpu::select::Answers;

use crate::device::{self, DeviceOptions, DeviceSettings};
use crate::failure::Failure;
use crate::gpu::{Gpus, OnGpus};
use crate::terminal;

/// Without `--context`, a model that was made for more gets this many tokens.
const DEFAULT_CONTEXT: usize = 8192;

/// The bar of a load.
const LOADING: &str = "loading {bar:30} {bytes}/{total_bytes} {eta}";

/// Loads that are done by then show nothing.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long a context is.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Machine")]
pub struct ContextOption {
    /// Tokens of prompt and answer together [default: what the model was made for, at most 8192]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
}

impl ContextOption {
    /// Tokens that the context holds: refused when the model was not made for so many.
    pub fn tokens(&self, spec: &ModelSpec) -> Result<usize, Failure> {
        match self.context {
            None => Ok(spec.context.min(DEFAULT_CONTEXT)),
            Some(context) if context as usize <= spec.context => Ok(context as usize),
            Some(context) => Err(Failure::Usage(format!(
                "a context of {context} tokens was asked for, but this model was made for at most {}",
                spec.context
            ))),
        }
    }
}

/// How a model is loaded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineOptions {
    /// The context.
    #[command(flatten)]
    pub context: ContextOption,
    /// Threads that compute [default: one for each physical core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// The device.
    #[command(flatten)]
    pub device: DeviceOptions,
}

/// What one step of a loaded model may hold.
#[derive(Debug, Clone, Copy)]
pub struct StepRoom {
    /// Rows.
    pub rows: usize,
    /// Rows whose logits are wanted.
    pub samples: usize,
    /// Keys and values.
    pub cache: CacheRoom,
}

/// How much room there is for keys and values.
#[derive(Debug, Clone, Copy)]
pub enum CacheRoom {
    /// For one context.
    OneContext,
    /// So many bytes, but at least for one context.
    Bytes(u64),
}

impl CacheRoom {
    /// Pages of the pool.
    fn pages(self, spec: &ModelSpec, context: usize) -> usize {
        let least = pages_for(context);
        match self {
            CacheRoom::OneContext => least,
            CacheRoom::Bytes(bytes) => {
                let fit = bytes / (program(spec).cache.page_bytes() as u64).max(1);
                // Page ids are 32 bits wide.
                least.max(fit.min(u64::from(u32::MAX)) as usize)
            }
        }
    }
}

impl MachineOptions {
    /// Settings for the CPU.
    pub fn cpu_settings(&self, spec: &ModelSpec, room: StepRoom) -> Result<CpuSettings, Failure> {
        let mut settings = CpuSettings {
            pages: room.cache.pages(spec, self.context.tokens(spec)?),
            rows: room.rows,
            samples: room.samples,
            ..CpuSettings::default()
        };
        if let Some(threads) = self.threads {
            settings.threads = threads.into();
        }
        Ok(settings)
    }
}

/// A model, and what turns text into its tokens and back.
pub struct Loaded {
    /// The checkpoint, for its chat template.
    pub checkpoint: Checkpoint,
    /// The weights, on their device.
    pub model: Box<dyn Model>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// What of the device decides bits of keys and values. On the processor nothing does: every instruction set gives the
    /// same.
    pub device_kind: String,
}

/// The model's shape.
pub fn spec(checkpoint: &Checkpoint) -> Result<ModelSpec, Failure> {
    let config = checkpoint.config()?;
    ModelSpec::from_config(&config)
        .map_err(|error| Failure::new(format!("{}: {error}", checkpoint.path().display())))
}

/// Loads weights and tokenizer, each on a thread of its own.
pub fn load(path: &Path, options: &MachineOptions, room: StepRoom) -> Result<Loaded, Failure> {
    let checkpoint = Checkpoint::open(path)?;
    let spec = spec(&checkpoint)?;
    let threads = options.threads.map(usize::from);
    let chosen = options.device.settings(threads)?;
    let settings = options.cpu_settings(&spec, room)?;
    let device = chosen.name.open(threads)?;
    let device_kind = chosen.kind(device.as_ref());
    let (tokenizer, model) = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::from_checkpoint(&checkpoint));
        let model: Result<Box<dyn Model>, Failure> = match device {
            None => load_weights(spec, &checkpoint, &settings).map(|model| Box::new(model) as _),
            Some(gpus) => {
                let settings = chosen.gpu_settings(gpus.facts(), settings.pages, room);
                let name = gpus.facts().name.clone();
                let model = load_on_gpu(spec, &checkpoint, gpus, &settings);
                chosen.say(&name, model).map(OnGpus::into_model)
            }
        };
        (tokenizer.join(), model)
    });
    let model = model?;
    let tokenizer = tokenizer.map_err(|_| Failure::new("building the tokenizer failed unexpectedly"))??;
    Ok(Loaded { checkpoint, model, tokenizer, device_kind })
}

/// Packs the weights, under a progress bar if that takes a while.
pub fn load_weights(
    spec: ModelSpec,
    checkpoint: &Checkpoint,
    settings: &CpuSettings,
) -> Result<CpuModel, Failure> {
    let begun = Instant::now();
    let mut bar: Option<ProgressBar> = None;
    let mut progress = |LoadProgress { done, total }: LoadProgress| {
        if begun.elapsed() > PATIENCE {
            let shown = bar.get_or_insert_with(|| terminal::progress_bar(LOADING, total as u64));
            shown.set_position(done as u64);
        }
    };
    let model = CpuModel::load(spec, checkpoint, settings, &mut progress);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(model?)
}

impl DeviceSettings {
    /// See [`Loaded::device_kind`].
    fn kind(&self, gpus: Option<&Gpus>) -> String {
        let Some(gpus) = gpus else { return "cpu".to_owned() };
        let (name, answers, library) = (&gpus.facts().name, self.answers, self.library);
        match (answers, gpus.count()) {
            // Several cut sums elsewhere, which changes last bits; as does, without this option, what else is in a step.
            (Answers::Reproducible, count @ 2..) => format!("{count} {name} {answers:?} {library:?}"),
            _ => format!("{name} {answers:?} {library:?}"),
        }
    }

    /// Says where a model runs, or why it does not, if nobody asked for the GPU.
    fn say(&self, gpu: &str, model: Result<OnGpus, Failure>) -> Result<OnGpus, Failure> {
        if !self.automatic {
            return model;
        }
        match model {
            Ok(model) => {
                terminal::note(&format!("runs on {gpu}; --device cpu takes the processor"));
                Ok(model)
            }
            Err(Failure::Failed { what, next: None }) => {
                Err(Failure::with_next(what, "--device cpu runs it on the processor"))
            }
            Err(other) => Err(other),
        }
    }

    /// Settings for a GPU with so many pages.
    pub fn gpu_settings(&self, facts: &DeviceFacts, pages: usize, room: StepRoom) -> GpuSettings {
        GpuSettings {
            pages,
            rows: room.rows,
            samples: room.samples,
            answers: self.answers,
            library: self.library,
            choices: device::known(facts),
        }
    }
}

/// Puts a model on a GPU, under a progress bar while kernels are compiled.
pub fn load_on_gpu(
    spec: ModelSpec,
    checkpoint: &Checkpoint,
    gpus: Gpus,
    settings: &GpuSettings,
) -> Result<OnGpus, Failure> {
    let name = gpus.facts().name.clone();
    let begun = Instant::now();
    let bar = terminal::progress_bar("compiling kernels, once for this device {bar:30} {pos}/{len}", 0);
    let model = gpus.load(spec, checkpoint, settings, &mut |progress| {
        if let GpuLoadProgress::Kernels { done, total } = progress
            && begun.elapsed() > PATIENCE
        {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    });
    bar.finish_and_clear();
    let model = model?;
    let excluded = &settings.choices.excluded;
    let used: Vec<&str> = model.kernels().iter().map(|kernel| kernel.entry).collect();
    let wrong: Vec<&str> = used.iter().copied().filter(|entry| excluded.contains(*entry)).collect();
    if !wrong.is_empty() {
        let what = format!("this model needs {}, which gave wrong results on {name}", wrong.join(", "));
        return Err(Failure::with_next(
            what,
            "--device cpu runs it on the processor; `wootz doctor` examines again",
        ));
    }
    if !excluded.is_empty() {
        let names: Vec<&str> = excluded.iter().map(String::as_str).collect();
        terminal::note(&format!("not used on {name}, after `wootz doctor`: {}", names.join(", ")));
    }
    Ok(model)
}
