//! Models on the emulator, and how they are changed; what they must compute is in the backend's fixtures.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wootz_backend::BackendError;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::reference::{CachePrecision, Reference};
use wootz_gpu::Device;
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
