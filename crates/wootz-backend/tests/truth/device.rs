//! The fast CPU device against Transformers and against the reference, on every instruction set of this machine.

use std::path::Path;

use wootz_backend::Model;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::reference::CachePrecision;
use wootz_backend::cpu::{CpuModel, CpuSettings, Isa};
use wootz_backend::step::{SequenceSlice, Step};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use crate::fixture::{
    Expected, WITH_GGUF, distance, fixtures, greedy, logits, pages_may_be_copied, reference, step,
    tiny_models,
};

pub fn device(path: &Path, isa: Isa, threads: usize) -> CpuModel {
    let checkpoint = Checkpoint::open(path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let settings = CpuSettings { threads, isa, pages: pages_for(spec.context), rows: 64, samples: 64 };
    CpuModel::load(spec, &checkpoint, &settings, &mut |_| ()).unwrap()
}

/// The matrices are f32: what is left against the reference is the order of sums and the device's own e^x, and
/// against Transformers also the f16 of keys and values.
#[test]
fn tiny_models_match_transformers_and_the_reference() {
    for folder in tiny_models() {
        let expected = Expected::read(&folder);
        let rounded = logits(&mut reference(&folder, CachePrecision::F16), &expected.prompt);
        for isa in Isa::available() {
            let mut model = device(&folder, isa, 2);
            let found = logits(&mut model, &expected.prompt);
            let (to_reference, to_truth) = (distance(&found, &rounded), distance(&found, &expected.logits));
            println!("{} {isa}: {to_reference:.1e} and {to_truth:.1e}", folder.display());
            // A key that falls on the border between two f16 may be rounded either way: hence not 1e-5.
            assert!(to_reference < 3e-4, "{} {isa}: off by {to_reference:e}", folder.display());
            assert!(to_truth < 2e-3, "{} {isa}: off by {to_truth:e}", folder.display());
            assert_eq!(greedy(&mut model, &expected.prompt, expected.greedy.len()), expected.greedy);
        }
    }
}

#[test]
fn gguf_files_match_too() {
    for name in WITH_GGUF {
        let folder = fixtures().join("models").join(name);
        let expected = Expected::read(&folder);
        let off = distance(
            &logits(&mut device(&folder.join("model.gguf"), Isa::detect(), 2), &expected.prompt),
            &expected.logits,
        );
        assert!(off < 2e-3, "{name}: off by {off:e}");
    }
}

#[test]
fn stories_reproduce_their_golden_tokens() {
    let folder = fixtures().join("stories260k");
    let expected = Expected::read(&folder);
    let (first, rest) = expected.prompt.split_at(1);
    let golden: Vec<u32> = rest.iter().chain(&expected.greedy).copied().collect();
    for checkpoint in [folder.clone(), folder.join("model.gguf")] {
        for isa in Isa::available() {
            let mut model = device(&checkpoint, isa, 2);
            let off = distance(&logits(&mut model, &expected.prompt), &expected.logits);
            println!("{} {isa}: {off:.1e}", checkpoint.display());
            assert!(off < 2e-2, "{} {isa}: off by {off:e}", checkpoint.display());
            assert_eq!(greedy(&mut model, first, golden.len()), golden, "{} {isa}", checkpoint.display());
        }
    }
}

/// One answer: bit for bit the same whatever the chunks, the threads and the company.
#[test]
fn the_answer_does_not_depend_on_the_cut() {
    for name in ["llama", "mistral_window", "qwen3"] {
        let folder = fixtures().join("models").join(name);
        let Expected { prompt, vocab, .. } = Expected::read(&folder);
        for isa in Isa::available() {
            let whole = logits(&mut device(&folder, isa, 1), &prompt);
            for threads in [1, 2, 3] {
                let mut model = device(&folder, isa, threads);
                let mut start = 0;
                for size in [1, 14, 2, 16, 7] {
                    let chunk = step(&prompt[start..start + size], start, (0..size as u32).collect());
                    let expected = &whole[start * vocab..(start + size) * vocab];
                    assert_eq!(
                        model.forward(&chunk).unwrap(),
                        expected,
                        "{name} {isa} {threads} threads from {start}"
                    );
                    start += size;
                }
                let company = Step {
                    tokens: [&prompt[..23], &prompt[..9]].concat(),
                    positions: (0..23).chain(0..9).collect(),
                    sequences: vec![
                        SequenceSlice { rows: 0..23, pages: 0..2 },
                        SequenceSlice { rows: 23..32, pages: 2..3 },
                    ],
                    page_table: vec![7, 3, 5],
                    sample_rows: vec![22, 31],
                    copies: Vec::new(),
                };
                let expected = [&whole[22 * vocab..23 * vocab], &whole[8 * vocab..9 * vocab]].concat();
                assert_eq!(
                    model.forward(&company).unwrap(),
                    expected,
                    "{name} {isa} {threads} threads in company"
                );
            }
        }
    }
}

#[test]
fn pages_may_be_copied_on_every_instruction_set() {
    for folder in tiny_models() {
        let mut prompt = Expected::read(&folder).prompt;
        prompt.truncate(40);
        for isa in Isa::available() {
            for threads in [1, 2] {
                pages_may_be_copied(&mut device(&folder, isa, threads), &prompt);
            }
        }
        pages_may_be_copied(&mut reference(&folder, CachePrecision::F16), &prompt);
    }
}
