//! Models on the emulator, and how they are changed; what they must compute is in the backend's fixtures.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wootz_backend::BackendError;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::reference::{CachePrecision, Reference};
use wootz_gpu::Device;
use wootz_gpu::case::values;
use wootz_gpu::emulator::{Checks, Emulator, EmulatorSettings, Schedule};
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// Models, expected results and steps of the backend's own tests.
#[path = "../../../wootz-backend/tests/truth/fixture.rs"]
#[allow(dead_code)] // the backend's tests use what is not used here
mod truth;

#[allow(unused_imports)] // several tests use this file, and each a part of it
pub use truth::{Expected, distance, fixtures, greedy, likeliest, logits, pages_may_be_copied, step};

/// The tiny models: one of each family and rotation. `mistral_old` has heads of 12 elements, which no kernel computes.
pub fn tiny_models() -> impl Iterator<Item = PathBuf> {
    truth::tiny_models().filter(|folder| !folder.ends_with("mistral_old"))
}

/// A quantised model that ships with the program; in the working folder where it is there, as fixtures are.
pub fn shipped(file: &str) -> PathBuf {
    let here = Path::new("models").join(file);
    if here.exists() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(file) }
}

/// How a checkpoint is changed.
#[derive(Clone, Copy, PartialEq)]
pub enum Rewrite {
    /// Tensors begin at odd addresses.
    OddStart,
    /// All tensors are bf16.
    BFloat16,
}

impl Rewrite {
    /// A tensor's type and bytes.
    fn tensor(self, values: &[f32]) -> (&'static str, Vec<u8>) {
        match self {
            Rewrite::OddStart => ("F32", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Rewrite::BFloat16 => {
                ("BF16", values.iter().flat_map(|&value| half::bf16::from_f32(value).to_le_bytes()).collect())
            }
        }
    }
}

/// A copy of a Hugging Face folder with its tensors written anew.
pub fn rewritten(folder: &Path, how: Rewrite) -> tempfile::TempDir {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let tensors = checkpoint.tensors().map(|tensor| {
        let (kind, bytes) = how.tensor(&tensor.to_f32());
        (tensor.name.clone(), tensor.shape.clone(), kind, bytes)
    });
    let config = std::fs::read(folder.join("config.json")).unwrap();
    written(&config, tensors, if how == Rewrite::OddStart { 1 } else { 0 })
}

/// A Hugging Face folder with two of the tiny models' layers, 128 elements wide, which is what packing takes, and with numbers
/// drawn at random. Tensors are bf16, those with `plain` in their name f32.
pub fn widened(folder: &Path, plain: &str) -> tempfile::TempDir {
    let text = std::fs::read(folder.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    for (key, value) in [("hidden_size", 128), ("intermediate_size", 128), ("head_dim", 32)] {
        config[key] = value.into();
    }
    let checkpoint = Checkpoint::open(folder).unwrap();
    let tensors = checkpoint.tensors().enumerate().map(|(number, tensor)| {
        let wider = |&size: &usize| match size {
            32 | 33 => 128,
            16 => 64,
            other => other,
        };
        let shape: Vec<usize> = tensor.shape.iter().map(wider).collect();
        // Weights of norms lie about 1.
        let middle = if tensor.name.contains("norm") { 1.0 } else { 0.0 };
        let drawn = values(shape.iter().product(), number as u64).into_iter();
        let drawn: Vec<f32> = drawn.map(|value| middle + 0.3 * value).collect();
        let how = if tensor.name.contains(plain) { Rewrite::OddStart } else { Rewrite::BFloat16 };
        let (kind, bytes) = how.tensor(&drawn);
        (tensor.name.clone(), shape, kind, bytes)
    });
    written(&serde_json::to_vec(&config).unwrap(), tensors, 0)
}

/// A folder with a configuration and tensors, the first of which begins so many bytes behind a multiple of 16.
fn written(
    config: &[u8],
    tensors: impl Iterator<Item = (String, Vec<usize>, &'static str, Vec<u8>)>,
    start: usize,
) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join("config.json"), config).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, kind, bytes) in tensors {
        let begin = data.len();
        data.extend(bytes);
        let about = serde_json::json!({
            "dtype": kind, "shape": shape, "data_offsets": [begin, data.len()]
        });
        header.insert(name, about);
    }
    let mut header = serde_json::to_vec(&Value::Object(header)).unwrap();
    while header.len() % 16 != 8 + start {
        header.push(b' ');
    }
    let length = (header.len() as u64).to_le_bytes();
    let file = [length.as_slice(), &header, &data].concat();
    std::fs::write(copy.path().join("model.safetensors"), file).unwrap();
    copy
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
    truth::reference(path, CachePrecision::F16)
}
