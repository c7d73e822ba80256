//! Whole models on the CPU device.

use std::path::Path;

use wootz_backend::cpu::reference::CachePrecision;
use wootz_backend::cpu::{CpuModel, CpuSettings, Isa};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use crate::fixture::{
    Expected, WITH_GGUF, distance, fixtures, greedy, likeliest, logits, reference, tiny_models,
};

/// A model with every row sampled and a pool for its whole context.
pub fn load(path: &Path, isa: Isa, threads: usize) -> CpuModel {
    let checkpoint = Checkpoint::open(path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let pages = spec.context.div_ceil(16).min(256);
    let settings = CpuSettings { threads, isa, pages, rows: 512, samples: 512 };
    CpuModel::load(spec, &checkpoint, &settings, &mut |_| {}).unwrap()
}

/// The tolerance is what a cache in f16 costs (the reference's own test allows it the same).
#[test]
fn tiny_models_match_transformers_on_every_instruction_set() {
    for isa in Isa::available() {
        for folder in tiny_models() {
            let expected = Expected::read(&folder);
            let mut model = load(&folder, isa, 2);
            let off = distance(&logits(&mut model, &expected.prompt), &expected.logits);
            println!("{isa} {}: {off:.1e}", folder.display());
            assert!(off < 2e-3, "{isa} {}: logits are off by {off:e}", folder.display());
            let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
            assert_eq!(found, expected.greedy, "{isa} {}", folder.display());
        }
    }
}

/// In f32 with a cache in f16, the device and the reference differ by the order of sums alone.
#[test]
fn tiny_models_match_the_reference_closely() {
    for folder in tiny_models() {
        let expected = Expected::read(&folder);
        let mut model = load(&folder, Isa::detect(), 2);
        let mut twin = reference(&folder, CachePrecision::F16);
        let off = distance(&logits(&mut model, &expected.prompt), &logits(&mut twin, &expected.prompt));
        println!("{}: {off:.1e}", folder.display());
        assert!(off < 2e-4, "{}: logits are off by {off:e}", folder.display());
    }
}

#[test]
fn gguf_twins_agree_with_their_folders() {
    for name in WITH_GGUF {
        let folder = fixtures().join("models").join(name);
        let expected = Expected::read(&folder);
        let mut one = load(&folder, Isa::detect(), 2);
        let mut other = load(&folder.join("model.gguf"), Isa::detect(), 2);
        let off = distance(&logits(&mut other, &expected.prompt), &logits(&mut one, &expected.prompt));
        assert!(off < 1e-5, "{name}: logits are off by {off:e}");
    }
}

#[test]
fn stories_reproduce_their_golden_tokens() {
    let folder = fixtures().join("stories260k");
    let expected = Expected::read(&folder);
    for (checkpoint, isa) in
        Isa::available().into_iter().flat_map(|isa| [(folder.clone(), isa), (folder.join("model.gguf"), isa)])
    {
        let mut model = load(&checkpoint, isa, 2);
        let found = logits(&mut model, &expected.prompt);
        let off = distance(&found, &expected.logits);
        println!("{} {isa}: {off:.1e}", checkpoint.display());
        let (first, rest) = expected.prompt.split_at(1);
        let golden: Vec<u32> = rest.iter().chain(&expected.greedy).copied().collect();
        assert_eq!(greedy(&mut model, first, golden.len()), golden, "{isa} {}", checkpoint.display());
        assert_eq!(likeliest(&found[found.len() - expected.vocab..]), expected.greedy[0]);
    }
}
