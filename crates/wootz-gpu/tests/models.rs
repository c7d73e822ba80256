//! Whole models on the emulator: every op through its kernels, against the CPU's reference and golden tokens.

#[path = "models/answers.rs"]
mod answers;
#[path = "models/engine.rs"]
mod engine;
#[path = "models/fixture.rs"]
mod fixture;
#[path = "models/packed.rs"]
mod packed;
#[path = "models/pages.rs"]
mod pages;
#[path = "models/parallel.rs"]
mod parallel;
#[path = "models/whole.rs"]
mod whole;
#[path = "models/wrapped.rs"]
mod wrapped;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fixture::{
    Expected, distance, emulator, fixtures, load, logits, reference, settings, shipped, step, tiny_models,
};
use whole::{
    TOLERANCE, agrees_with_the_reference, long_contexts_agree, matches_the_reference, mixed_equals_separate,
    reproduces_stories,
};
use wootz_backend::step::{SequenceSlice, Step};
use wootz_backend::{BackendError, Model};
use wootz_gpu::device::{Device, Family};
use wootz_gpu::emulator::{Checks, Emulator, Schedule};
use wootz_gpu::hazards::{barriers, with_barriers};
use wootz_gpu::select::Answers;
use wrapped::Wrapped;

/// The emulator that most tests want.
fn in_order() -> Box<dyn Device> {
    Box::new(emulator(Checks::Plain, Schedule::InOrder))
}

#[test]
fn tiny_models_match_the_reference_and_their_golden_tokens() {
    for folder in tiny_models() {
        matches_the_reference(&folder, &in_order);
    }
}

#[test]
fn stories_reproduce_their_golden_tokens() {
    reproduces_stories(Answers::Fastest, &in_order);
}

#[test]
fn long_contexts_agree_with_the_reference() {
    long_contexts_agree(&in_order);
}

/// Every access is looked at, and threads and dispatches run in an order of their own.
#[test]
fn a_whole_model_makes_no_mistake() {
    let folder = fixtures().join("models/qwen3");
    let expected = Expected::read(&folder);
    let rounded = logits(&mut reference(&folder), &expected.prompt);
    let vocab = expected.vocab;
    let mut model = load(&folder, Box::new(emulator(Checks::Checked, Schedule::Random(7))), Answers::Fastest);
    let off = distance(&logits(&mut model, &expected.prompt), &rounded);
    assert!(off < TOLERANCE, "off by {off:e}");
    let one = step(&expected.prompt[5..6], 5, vec![0]);
    let off = distance(model.forward(&one).unwrap(), &rounded[5 * vocab..6 * vocab]);
    assert!(off < TOLERANCE, "off by {off:e}");
}

/// Dispatches between two barriers run in any order, and threads and threadgroups too.
#[test]
fn any_order_gives_the_same_bits() {
    let folder = fixtures().join("models/qwen3");
    let Expected { prompt, .. } = Expected::read(&folder);
    let run = |schedule| {
        let mut model = load(&folder, Box::new(emulator(Checks::Plain, schedule)), Answers::Fastest);
        logits(&mut model, &prompt)
    };
    let expected = run(Schedule::InOrder);
    for seed in [1, 2, 3] {
        assert!(run(Schedule::Random(seed)) == expected, "seed {seed}");
    }
}

#[test]
fn a_mixed_step_equals_separate_ones_bit_for_bit() {
    let tiny = ["llama", "mistral_window", "qwen3"].map(|name| fixtures().join("models").join(name));
    for path in tiny.into_iter().chain([shipped("tales-7m.Q8_0.gguf")]) {
        mixed_equals_separate(&path, in_order());
    }
}

#[test]
fn chunks_give_the_same_bits() {
    whole::chunks_give_the_same_bits(&fixtures().join("models/llama"), &in_order);
}

#[test]
fn a_step_without_sampled_rows_fills_the_cache() {
    whole::a_step_without_sampled_rows_fills_the_cache(&fixtures().join("models/llama"), &in_order);
}

#[test]
fn a_fault_ends_one_step_only() {
    let folder = fixtures().join("models/llama");
    let Expected { prompt, vocab, .. } = Expected::read(&folder);
    let fail = Arc::new(AtomicBool::new(false));
    let mut model = load(&folder, Box::new(Wrapped::new(fail.clone())), Answers::Reproducible);
    let whole = logits(&mut model, &prompt);
    // Another sequence has pages of its own, which the failing step must leave alone.
    let other = Step {
        page_table: vec![9],
        sequences: vec![SequenceSlice { rows: 0..5, pages: 0..1 }],
        ..step(&prompt[..5], 0, vec![])
    };
    model.forward(&other).unwrap();
    fail.store(true, Ordering::Relaxed);
    let error = model.forward(&step(&prompt, 0, vec![39])).unwrap_err();
    assert!(matches!(&error, BackendError::Device { reason } if reason.contains("told to")), "{error}");
    let again = Step {
        page_table: vec![9],
        sequences: vec![SequenceSlice { rows: 0..1, pages: 0..1 }],
        ..step(&prompt[5..6], 5, vec![0])
    };
    assert_eq!(model.forward(&again).unwrap(), &whole[5 * vocab..6 * vocab]);
    assert_eq!(logits(&mut model, &prompt), whole);
}

/// A file whose tensors lie at odd addresses: they are copied, and nothing else changes.
#[test]
fn unaligned_tensors_are_copied() {
    let folder = fixtures().join("models/qwen3");
    let Expected { prompt, .. } = Expected::read(&folder);
    let device = || in_order();
    let expected = logits(&mut load(&folder, device(), Answers::Fastest), &prompt);
    let odd = fixture::rewritten(&folder, fixture::Rewrite::OddStart);
    let mut model = load(odd.path(), device(), Answers::Fastest);
    assert_eq!(model.memory().weights.mapped, 0);
    assert!(logits(&mut model, &prompt) == expected);
}

/// The M1 and M2 compute with bf16 by several instructions, so matrices become f16 when they are loaded.
#[test]
fn bf16_becomes_f16_where_the_device_has_no_bf16() {
    let folder = fixture::rewritten(&fixtures().join("models/llama"), fixture::Rewrite::BFloat16);
    let Expected { prompt, .. } = Expected::read(&fixtures().join("models/llama"));
    let rounded = logits(&mut reference(folder.path()), &prompt);
    for (family, mapped) in [(Family::Apple(7), false), (Family::Apple(9), true)] {
        let mut device = Wrapped::new(Arc::new(AtomicBool::new(false)));
        device.facts.family = family;
        let mut model = load(folder.path(), Box::new(device), Answers::Fastest);
        assert_eq!(model.memory().weights.mapped > 0, mapped, "{family:?}");
        let off = distance(&logits(&mut model, &prompt), &rounded);
        println!("{family:?}: {off:.1e}");
        assert!(off < 2.0 * TOLERANCE, "{family:?}: off by {off:e}");
    }
}

#[test]
fn what_does_not_fit_is_refused_at_load_with_its_size() {
    let folder = fixtures().join("models/llama");
    let mut small = fixture::emulator_settings(Checks::Plain, Schedule::InOrder);
    small.memory = 1 << 24;
    let device = Box::new(Emulator::new(small).unwrap());
    let settings = wootz_gpu::model::GpuSettings { pages: 1 << 20, ..settings(64, Answers::Fastest) };
    let message = fixture::try_load(&folder, device, &settings).unwrap_err().to_string();
    assert!(message.contains("the key/value pool takes"), "{message}");
    assert!(message.contains("shorter context"), "{message}");
}

#[test]
fn a_shape_that_no_kernel_covers_is_refused_at_load() {
    let folder = fixtures().join("models/mistral_old");
    let device = in_order();
    let message =
        fixture::try_load(&folder, device, &settings(64, Answers::Fastest)).unwrap_err().to_string();
    let expected = "no kernel computes attention with heads of 12 elements; possible are 8, 16, 32, 64";
    assert!(message.starts_with(expected), "{message}");
}

/// The quantised models that ship with the program: Q8_0, and Q4_K with Q6_K.
#[test]
fn shipped_models_agree_with_the_reference() {
    agrees_with_the_reference(&shipped("tales-7m.Q8_0.gguf"), 21, Answers::Fastest, &in_order);
    agrees_with_the_reference(&shipped("tales-7m.Q8_0.gguf"), 10, Answers::Reproducible, &in_order);
    agrees_with_the_reference(&shipped("tales-46m.Q4_K_M.gguf"), 9, Answers::Fastest, &in_order);
}

/// Where all rows of a step are sampled, none is picked out; every kernel of such a step and of others is known at load.
#[test]
fn rows_are_picked_out_only_where_some_are_not_sampled() {
    for file in ["tales-7m.Q8_0.gguf", "tales-46m.Q4_K_M.gguf"] {
        let mut model = load(&shipped(file), in_order(), Answers::Fastest);
        let known = model.kernels().to_vec();
        let cases: [(usize, Vec<u32>, usize); 5] =
            [(1, vec![0], 0), (3, vec![0, 1, 2], 0), (3, vec![2], 1), (3, vec![0, 2], 1), (3, vec![], 0)];
        for (rows, sampled, picked) in cases {
            let dispatches = model.plan(&step(&vec![1; rows], 0, sampled.clone())).unwrap();
            let found = dispatches.iter().filter(|dispatch| dispatch.kernel.entry == "gather_add").count();
            assert_eq!(found, picked, "{file}: {sampled:?} of {rows} rows");
            assert!(
                dispatches.iter().all(|dispatch| known.contains(&dispatch.kernel)),
                "{file}: {sampled:?}"
            );
        }
    }
}

#[test]
fn barriers_are_saved() {
    let device = in_order();
    let mut model = load(&shipped("tales-7m.Q8_0.gguf"), device, Answers::Fastest);
    let prompt = [1; 40];
    let layers = model.spec().layers.len();
    for (what, step) in [("prompt", step(&prompt, 0, vec![0])), ("answer", step(&prompt[..1], 0, vec![0]))] {
        let dispatches = model.plan(&step).unwrap();
        let (count, needed) = (dispatches.len(), barriers(&with_barriers(dispatches)));
        println!("{what}: {count} dispatches, {needed} barriers instead of {}, {layers} layers", count - 1);
        // q, k and v run together, and gate and up.
        assert!(needed < count - 3 * layers, "{needed} barriers for {count} dispatches");
    }
}
