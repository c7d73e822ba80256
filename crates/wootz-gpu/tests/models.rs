//! Whole models on the emulator: every op through its kernels, against the CPU's reference and golden tokens.

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

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fixture::{
    Expected, distance, emulator, fixtures, greedy, load, logits, reference, settings, shipped, step,
    tiny_models,
};
use wootz_backend::step::{SequenceSlice, Step};
use wootz_backend::{BackendError, Model};
use wootz_gpu::device::{
    BufferId, Command, Device, DeviceError, DeviceFacts, Family, Kernel, Profile, Slice, Submission, Timing,
};
use wootz_gpu::emulator::{Checks, Emulator, Schedule};
use wootz_gpu::hazards::{barriers, with_barriers};
use wootz_gpu::select::Answers;
use wootz_weights::MappedFile;

/// Logits may be off by this share of the greatest. Matrices of these models are f32, but matrix kernels multiply f16
/// tiles on some paths (eleven bits, so 5e-4 a product at most, and sums average), and the cache is f16.
const TOLERANCE: f32 = 5e-3;

#[test]
fn tiny_models_match_the_reference_and_their_golden_tokens() {
    for folder in tiny_models() {
        let expected = Expected::read(&folder);
        let rounded = logits(&mut reference(&folder), &expected.prompt);
        for answers in [Answers::Fastest, Answers::Reproducible] {
            let mut model = load(&folder, Box::new(emulator(Checks::Plain, Schedule::InOrder)), answers);
            let off = distance(&logits(&mut model, &expected.prompt), &rounded);
            println!("{} {answers:?}: {off:.1e}", folder.display());
            assert!(off < TOLERANCE, "{} {answers:?}: off by {off:e}", folder.display());
            let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
            assert_eq!(found, expected.greedy, "{} {answers:?}", folder.display());
        }
    }
}

#[test]
fn stories_reproduce_their_golden_tokens() {
    let folder = fixtures().join("stories260k");
    let expected = Expected::read(&folder);
    let (first, rest) = expected.prompt.split_at(1);
    let golden: Vec<u32> = rest.iter().chain(&expected.greedy).copied().collect();
    for checkpoint in [folder.clone(), folder.join("model.gguf")] {
        let device = Box::new(emulator(Checks::Plain, Schedule::InOrder));
        let mut model = load(&checkpoint, device, Answers::Fastest);
        assert_eq!(greedy(&mut model, first, golden.len()), golden, "{}", checkpoint.display());
    }
}

/// A context that decode attention shares out in partitions, computed in chunks.
#[test]
fn long_contexts_agree_with_the_reference() {
    let folder = fixtures().join("stories260k");
    let tokens: Vec<u32> = (0..301).map(|place| place * 37 % 500 + 3).collect();
    let (prompt, last) = tokens.split_at(300);
    let mut exact = reference(&folder);
    exact.forward(&step(prompt, 0, vec![])).unwrap();
    let expected = exact.forward(&step(last, 300, vec![0])).unwrap().to_vec();
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let mut model = load(&folder, Box::new(emulator(Checks::Plain, Schedule::InOrder)), answers);
        for start in (0..300).step_by(60) {
            model.forward(&step(&prompt[start..start + 60], start, vec![])).unwrap();
        }
        let off = distance(model.forward(&step(last, 300, vec![0])).unwrap(), &expected);
        println!("{answers:?}: {off:.1e}");
        assert!(off < TOLERANCE, "{answers:?}: off by {off:e}");
    }
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

/// Five sequences, some prompts and some single tokens, some of them in the middle of a context.
fn five(prompt: &[u32]) -> (Step, Vec<Step>) {
    let parts: [(usize, usize, Vec<u32>); 5] =
        [(0, 19, vec![9, 4]), (4, 1, vec![7]), (0, 3, vec![0]), (17, 2, vec![2, 11]), (31, 1, vec![5, 3])];
    let mut together = Step::default();
    let mut separate = Vec::new();
    for (start, count, pages) in parts {
        let (tokens, row, entry) =
            (&prompt[start..start + count], together.rows(), together.page_table.len());
        let alone = Step {
            page_table: pages.clone(),
            sequences: vec![SequenceSlice { rows: 0..count, pages: 0..pages.len() }],
            ..step(tokens, start, vec![count as u32 - 1])
        };
        together.tokens.extend_from_slice(&alone.tokens);
        together.positions.extend_from_slice(&alone.positions);
        together.sequences.push(SequenceSlice { rows: row..row + count, pages: entry..entry + pages.len() });
        together.page_table.extend(pages);
        together.sample_rows.push((row + count - 1) as u32);
        separate.push(alone);
    }
    (together, separate)
}

/// Writes the keys and values that sequences in the middle of a context look back at.
fn write_contexts(model: &mut dyn Model, prompt: &[u32]) {
    for (count, pages) in [(4, vec![7]), (17, vec![2, 11]), (31, vec![5, 3])] {
        let sequences = vec![SequenceSlice { rows: 0..count, pages: 0..pages.len() }];
        model.forward(&Step { page_table: pages, sequences, ..step(&prompt[..count], 0, vec![]) }).unwrap();
    }
}

#[test]
fn a_mixed_step_equals_separate_ones_bit_for_bit() {
    let tiny = ["llama", "mistral_window", "qwen3"].map(|name| fixtures().join("models").join(name));
    for path in tiny.into_iter().chain([shipped("tales-7m.Q8_0.gguf")]) {
        mixed_equals_separate(&path, Box::new(emulator(Checks::Plain, Schedule::InOrder)));
    }
}

fn mixed_equals_separate(path: &Path, device: Box<dyn Device>) {
    let prompt: Vec<u32> = (0..40).map(|place| (place * 37 + 11) % 90).collect();
    let mut model = load(path, device, Answers::Reproducible);
    let vocab = model.spec().vocab;
    let (together, separate) = five(&prompt);
    write_contexts(&mut model, &prompt);
    let mixed = model.forward(&together).unwrap().to_vec();
    write_contexts(&mut model, &prompt);
    for (number, alone) in separate.iter().enumerate() {
        let expected = &mixed[number * vocab..(number + 1) * vocab];
        assert!(model.forward(alone).unwrap() == expected, "{}, sequence {number}", path.display());
    }
}

#[test]
fn chunks_give_the_same_bits() {
    let folder = fixtures().join("models/llama");
    let Expected { prompt, vocab, .. } = Expected::read(&folder);
    let mut model =
        load(&folder, Box::new(emulator(Checks::Plain, Schedule::InOrder)), Answers::Reproducible);
    let whole = logits(&mut model, &prompt);
    let mut start = 0;
    for size in [1, 14, 2, 16, 7] {
        let chunk = step(&prompt[start..start + size], start, (0..size as u32).collect());
        assert_eq!(model.forward(&chunk).unwrap(), &whole[start * vocab..(start + size) * vocab], "{start}");
        start += size;
    }
}

#[test]
fn a_step_without_sampled_rows_fills_the_cache() {
    let folder = fixtures().join("models/llama");
    let Expected { prompt, vocab, .. } = Expected::read(&folder);
    let mut model =
        load(&folder, Box::new(emulator(Checks::Plain, Schedule::InOrder)), Answers::Reproducible);
    let whole = logits(&mut model, &prompt);
    assert_eq!(model.forward(&step(&prompt[..30], 0, vec![])).unwrap(), &[0.0; 0]);
    let last = model.forward(&step(&prompt[30..31], 30, vec![0])).unwrap();
    assert_eq!(last, &whole[30 * vocab..31 * vocab]);
}

/// An emulator that fails when it is told to, and may say that it is another device.
struct Wrapped {
    device: Box<dyn Device>,
    facts: DeviceFacts,
    fail: Arc<AtomicBool>,
    waited: u64,
    /// The most submissions that were under way together.
    most: Arc<AtomicU64>,
}

impl Wrapped {
    fn new(fail: Arc<AtomicBool>) -> Wrapped {
        Wrapped::around(Box::new(emulator(Checks::Plain, Schedule::InOrder)), fail)
    }

    fn around(device: Box<dyn Device>, fail: Arc<AtomicBool>) -> Wrapped {
        Wrapped { facts: device.facts().clone(), device, fail, waited: 0, most: Arc::default() }
    }
}

impl Device for Wrapped {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }
    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.device.allocate(bytes, purpose)
    }
    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        self.device.map(file)
    }
    fn release(&mut self, buffer: BufferId) {
        self.device.release(buffer);
    }
    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.device.write(to, bytes)
    }
    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read(from, bytes)
    }
    fn read_idle(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read_idle(from, bytes)
    }
    fn write_idle(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.device.write_idle(to, bytes)
    }
    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        self.device.prepare(kernels, progress)
    }
    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError> {
        // A command buffer that stops in the middle has run what came before.
        let count = if self.fail.load(Ordering::Relaxed) { commands.len() / 2 } else { commands.len() };
        let submission = self.device.submit(&commands[..count], profile)?;
        self.most.fetch_max(submission.0 + 1 - self.waited, Ordering::Relaxed);
        Ok(submission)
    }
    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError> {
        let outcome = self.device.wait(submission);
        self.waited = self.waited.max(submission.0 + 1);
        if self.fail.swap(false, Ordering::Relaxed) {
            let (device, message) = ("test".to_owned(), "it was told to".to_owned());
            return Err(DeviceError::Fault { device, kernel: None, message });
        }
        outcome
    }
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
    let device = || Box::new(emulator(Checks::Plain, Schedule::InOrder));
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
    let device = Box::new(emulator(Checks::Plain, Schedule::InOrder));
    let message =
        fixture::try_load(&folder, device, &settings(64, Answers::Fastest)).unwrap_err().to_string();
    let expected = "no kernel computes attention with heads of 12 elements; possible are 8, 16, 32, 64";
    assert!(message.starts_with(expected), "{message}");
}

/// Token ids of no text in particular.
const IDS: [u32; 21] =
    [1, 403, 407, 261, 378, 9, 44, 120, 77, 3, 1024, 612, 5, 8, 300, 301, 302, 18, 19, 20, 21];

/// The first `rows` tokens as a prompt, then the last of them once more as an answer, against the reference.
fn agrees_with_the_reference(path: &Path, rows: usize, answers: Answers) {
    let prompt = &IDS[..rows];
    let rounded = logits(&mut reference(path), prompt);
    let last = &rounded[rounded.len() / rows * (rows - 1)..];
    let mut model = load(path, Box::new(emulator(Checks::Plain, Schedule::InOrder)), answers);
    let whole = distance(&logits(&mut model, prompt), &rounded);
    let one = step(&prompt[rows - 1..], rows - 1, vec![0]);
    let single = distance(model.forward(&one).unwrap(), last);
    println!("{} {answers:?}: prompt {whole:.1e}, answer {single:.1e}", path.display());
    assert!(whole < TOLERANCE && single < TOLERANCE, "{answers:?}: off by {whole:e} and {single:e}");
}

/// The quantised models that ship with the program: Q8_0, and Q4_K with Q6_K.
#[test]
fn shipped_models_agree_with_the_reference() {
    agrees_with_the_reference(&shipped("tales-7m.Q8_0.gguf"), 21, Answers::Fastest);
    agrees_with_the_reference(&shipped("tales-7m.Q8_0.gguf"), 10, Answers::Reproducible);
    agrees_with_the_reference(&shipped("tales-46m.Q4_K_M.gguf"), 9, Answers::Fastest);
}

#[test]
fn barriers_are_saved() {
    let device = Box::new(emulator(Checks::Plain, Schedule::InOrder));
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
