//! A model on the CPU behind an engine, and a few figures of durations.

use std::error::Error;
use std::time::{Duration, Instant};

use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_engine::{Engine, EngineSettings, EventKind, EventStream};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

pub type Failure = Box<dyn Error + Send + Sync>;

/// An engine, and what its model can do.
pub struct Loaded {
    pub engine: Engine,
    /// Token ids are below this.
    pub vocab: u32,
}

/// Loads a model with a pool for so many tokens.
pub fn load(path: &str, tokens: usize, settings: EngineSettings) -> Result<Loaded, Failure> {
    let checkpoint = Checkpoint::open(path)?;
    let spec = ModelSpec::from_config(&checkpoint.config()?)?;
    let vocab = spec.vocab as u32;
    let cpu = CpuSettings { pages: tokens.div_ceil(16) + 16, ..CpuSettings::default() };
    let model = CpuModel::load(spec, &checkpoint, &cpu, &mut |_| {})?;
    Ok(Loaded { engine: Engine::start(Box::new(model), settings)?, vocab })
}

/// Tokens that look random, the same for the same seed.
pub fn tokens(seed: u64, count: usize, vocab: u32) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u32 % vocab
    };
    (0..count).map(|_| next()).collect()
}

/// When the first token came.
pub fn first_token(stream: &EventStream) -> Result<Instant, Failure> {
    while let Some(event) = stream.next_event()? {
        match event.kind {
            EventKind::Token(_) => return Ok(Instant::now()),
            EventKind::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the answer ended before its first token".into())
}

/// The duration that a share of all stays below.
pub fn quantile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
