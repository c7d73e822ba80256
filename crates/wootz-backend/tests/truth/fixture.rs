//! Models and their expected results from `tests/fixtures`, and steps to run them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::reference::{CachePrecision, Reference};
use wootz_backend::step::{PageCopy, SequenceSlice, Step};
use wootz_backend::{BackendError, Model};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// The tiny models that have a GGUF twin.
pub const WITH_GGUF: [&str; 8] = [
    "llama",
    "llama_bias",
    "llama_llama3",
    "llama_linear_old",
    "llama_yarn",
    "mistral_window",
    "qwen2",
    "qwen3",
];

/// The tiny models that have none.
pub const WITHOUT_GGUF: [&str; 2] = ["mistral_old", "qwen3_window"];

/// Every tiny model.
pub fn tiny_models() -> impl Iterator<Item = PathBuf> {
    WITH_GGUF.into_iter().chain(WITHOUT_GGUF).map(|name| fixtures().join("models").join(name))
}

/// The crate's `tests/fixtures`. (The tests of other crates use this file too; one of them runs on machines that have the
/// repository's files in the working folder, and not where it was built.)
pub fn fixtures() -> PathBuf {
    let here = PathBuf::from("crates/wootz-backend/tests/fixtures");
    if here.is_dir() {
        return here;
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wootz-backend/tests/fixtures")
}

/// What Transformers says about a model.
pub struct Expected {
    pub vocab: usize,
    pub prompt: Vec<u32>,
    pub greedy: Vec<u32>,
    /// `[prompt, vocab]`.
    pub logits: Vec<f32>,
}

impl Expected {
    pub fn read(folder: &Path) -> Expected {
        let json: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let ids = |field: &str| {
            let list = json[field].as_array().unwrap();
            list.iter().map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let bytes = std::fs::read(folder.join("logits.f32")).unwrap();
        Expected {
            vocab: json["vocab"].as_u64().unwrap() as usize,
            prompt: ids("prompt_ids"),
            greedy: ids("greedy_ids"),
            logits: bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect(),
        }
    }
}

/// The reference with a cache for the model's whole context.
pub fn reference(checkpoint: &Path, precision: CachePrecision) -> Reference {
    let checkpoint = Checkpoint::open(checkpoint).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let pages = pages_for(spec.context);
    Reference::load(spec, &checkpoint, pages, precision).unwrap()
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
        copies: Vec::new(),
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
pub fn likeliest(logits: &[f32]) -> u32 {
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

/// Checks that a sequence goes on bit for bit the same in pages that were copied, on the device or through the host.
/// The prompt has more than 37 tokens, the pool more than 10 pages.
pub fn pages_may_be_copied(model: &mut dyn Model, prompt: &[u32]) {
    let (begun, rest) = prompt.split_at(37);
    let last = (0..rest.len() as u32).collect::<Vec<u32>>();
    let goes_on = |pages: [u32; 3], copies: &[(u32, u32)]| Step {
        page_table: pages.to_vec(),
        copies: copies.iter().map(|&(from, to)| PageCopy { from, to }).collect(),
        ..step(rest, 37, last.clone())
    };
    model.forward(&step(begun, 0, vec![])).unwrap();
    let expected = model.forward(&goes_on([0, 1, 2], &[])).unwrap().to_vec();

    // What follows in the page is not yet there when it is copied, and the copies are made in order.
    for copies in [&[(2, 6)][..], &[(2, 9), (9, 6), (1, 2)], &[(2, 6), (8, 2), (6, 8)]] {
        model.forward(&step(begun, 0, vec![])).unwrap();
        assert!(model.forward(&goes_on([0, 1, 6], copies)).unwrap() == expected, "{copies:?}");
    }

    // Two answers go on from one prompt, each in a page of its own.
    model.forward(&step(begun, 0, vec![])).unwrap();
    let other: Vec<u32> = rest.iter().map(|token| token / 2).collect();
    let mut both = goes_on([0, 1, 6], &[(2, 6)]);
    both.tokens.extend(&other);
    both.positions.extend((37..).take(other.len()).collect::<Vec<u32>>());
    both.page_table.extend([0, 1, 2]);
    both.sequences.push(SequenceSlice { rows: rest.len()..2 * rest.len(), pages: 3..6 });
    assert!(model.forward(&both).unwrap() == expected);

    model.forward(&step(begun, 0, vec![])).unwrap();
    let mut page = vec![0; model.cache().page_bytes()];
    for (from, to) in [(0, 5), (1, 10), (2, 3)] {
        model.read_page(from, &mut page).unwrap();
        model.write_page(to, &page).unwrap();
    }
    model.forward(&step(&[1; 37], 0, vec![])).unwrap();
    assert!(model.forward(&goes_on([5, 10, 3], &[])).unwrap() == expected, "through the host");

    let pages = model.limits().pages;
    let beyond = model.read_page(pages as u32, &mut page).unwrap_err();
    assert!(matches!(beyond, BackendError::Page { .. }), "{beyond}");
    let short = model.write_page(0, &page[1..]).unwrap_err();
    assert!(matches!(short, BackendError::Page { .. }), "{short}");
}
