//! Models and their expected results from the backend's fixtures, and steps to run them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::reference::{CachePrecision, Reference};
use wootz_backend::step::{SequenceSlice, Step};
use wootz_backend::{BackendError, Model};
use wootz_gpu::Device;
use wootz_gpu::emulator::{Checks, Emulator, EmulatorSettings, Schedule};
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// The tiny models: one of each family and rotation. `mistral_old` has heads of 12 elements, which no kernel computes.
const MODELS: [&str; 9] = [
    "llama",
    "llama_bias",
    "llama_llama3",
    "llama_linear_old",
    "llama_yarn",
    "mistral_window",
    "qwen2",
    "qwen3",
    "qwen3_window",
];

/// Their folders.
pub fn tiny_models() -> impl Iterator<Item = PathBuf> {
    MODELS.into_iter().map(|name| fixtures().join("models").join(name))
}

/// The fixtures of `wootz-backend`.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wootz-backend/tests/fixtures")
}

/// A quantised model that ships with the program.
pub fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(file)
}

/// How a checkpoint is changed.
#[derive(Clone, Copy, PartialEq)]
pub enum Rewrite {
    /// Tensors begin at odd addresses.
    OddStart,
    /// All tensors are bf16.
    BFloat16,
}

/// A copy of a Hugging Face folder with its tensors written anew.
pub fn rewritten(folder: &Path, how: Rewrite) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("config.json"), copy.path().join("config.json")).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for tensor in Checkpoint::open(folder).unwrap().tensors() {
        let start = data.len();
        let values = tensor.to_f32();
        let kind = match how {
            Rewrite::OddStart => {
                data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                "F32"
            }
            Rewrite::BFloat16 => {
                data.extend(values.iter().flat_map(|&value| half::bf16::from_f32(value).to_le_bytes()));
                "BF16"
            }
        };
        let about = serde_json::json!({
            "dtype": kind, "shape": tensor.shape, "data_offsets": [start, data.len()]
        });
        header.insert(tensor.name.clone(), about);
    }
    let mut header = serde_json::to_vec(&Value::Object(header)).unwrap();
    let wanted = if how == Rewrite::OddStart { 1 } else { 0 };
    while header.len() % 16 != 8 + wanted {
        header.push(b' ');
    }
    let length = (header.len() as u64).to_le_bytes();
    let file = [length.as_slice(), &header, &data].concat();
    std::fs::write(copy.path().join("model.safetensors"), file).unwrap();
    copy
}

/// What Transformers says about a model.
pub struct Expected {
    pub vocab: usize,
    pub prompt: Vec<u32>,
    pub greedy: Vec<u32>,
}

impl Expected {
    pub fn read(folder: &Path) -> Expected {
        let json: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let ids = |field: &str| {
            let list = json[field].as_array().unwrap();
            list.iter().map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let vocab = json["vocab"].as_u64().unwrap() as usize;
        Expected { vocab, prompt: ids("prompt_ids"), greedy: ids("greedy_ids") }
    }
}

pub fn emulator_settings(checks: Checks, schedule: Schedule) -> EmulatorSettings {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    EmulatorSettings { checks, schedule, cache, ..EmulatorSettings::default() }
}

pub fn emulator(checks: Checks, schedule: Schedule) -> Emulator {
    Emulator::new(emulator_settings(checks, schedule)).unwrap_or_else(|error| panic!("{error}"))
}

pub fn settings(pages: usize, answers: Answers) -> GpuSettings {
    GpuSettings { pages, rows: 64, samples: 64, answers, ..GpuSettings::default() }
}

pub fn try_load(
    path: &Path,
    device: Box<dyn Device>,
    settings: &GpuSettings,
) -> Result<GpuModel, BackendError> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    GpuModel::load(spec, &checkpoint, device, settings, &mut |_| ())
}

/// The model with a cache for its whole context.
pub fn load(path: &Path, device: Box<dyn Device>, answers: Answers) -> GpuModel {
    let checkpoint = Checkpoint::open(path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let settings = settings(pages_for(spec.context).max(16), answers);
    try_load(path, device, &settings).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The scalar reference, with the cache in f16 as kernels have it.
pub fn reference(path: &Path) -> Reference {
    let checkpoint = Checkpoint::open(path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let pages = pages_for(spec.context);
    Reference::load(spec, &checkpoint, pages, CachePrecision::F16).unwrap()
}

/// A step of one sequence from position `start`, with the pages in order from page 0.
pub fn step(tokens: &[u32], start: usize, sample_rows: Vec<u32>) -> Step {
    let pages = pages_for(start + tokens.len());
    Step {
        tokens: tokens.to_vec(),
        positions: (start..start + tokens.len()).map(|position| position as u32).collect(),
        sequences: vec![SequenceSlice { rows: 0..tokens.len(), pages: 0..pages }],
        page_table: (0..pages as u32).collect(),
        sample_rows,
    }
}

/// Logits of all tokens of a sequence from position 0.
pub fn logits(model: &mut dyn Model, tokens: &[u32]) -> Vec<f32> {
    model.forward(&step(tokens, 0, (0..tokens.len() as u32).collect())).unwrap().to_vec()
}

/// The `count` likeliest tokens one after another.
pub fn greedy(model: &mut dyn Model, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut sequence = prompt.to_vec();
    let mut done = 0;
    for _ in 0..count {
        let new = &sequence[done..];
        let next = model.forward(&step(new, done, vec![new.len() as u32 - 1])).unwrap();
        let next = likeliest(next);
        done = sequence.len();
        sequence.push(next);
    }
    sequence.split_off(prompt.len())
}

/// The index of the greatest; the first of equals.
fn likeliest(logits: &[f32]) -> u32 {
    let better =
        |best: usize, (index, &logit): (usize, &f32)| if logit > logits[best] { index } else { best };
    logits.iter().enumerate().fold(0, better) as u32
}

/// `max |Δ| / max |logit|`.
pub fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let off =
        found.iter().zip(expected).map(|(x, y)| if x.is_finite() { (x - y).abs() } else { f32::INFINITY });
    off.fold(0.0, f32::max) / most
}
