//! Models that several devices compute together, beside the same on one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use half::f16;
use wootz_backend::cache::pages_for;
use wootz_backend::model::Pipeline;
use wootz_backend::sampling::{Draw, Logprobs, SamplingSettings};
use wootz_backend::step::Step;
use wootz_backend::{BackendError, Model};
use wootz_gpu::Device;
use wootz_gpu::collective::Ranks;
use wootz_gpu::emulator::{Checks, Emulator, Schedule};
use wootz_gpu::model::TensorParallel;
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use super::fixture::{
    Expected, distance, emulator, emulator_settings, fixtures, greedy, load, logits, pages_may_be_copied,
    reference, settings, shipped, step,
};
use super::whole::{IDS, TOLERANCE, company_changes_nothing};
use super::wrapped::{Fails, Wrapped};

pub fn ranks(count: usize) -> Ranks {
    Emulator::group(&emulator_settings(Checks::Plain, Schedule::InOrder), count).unwrap()
}

/// Emulators that can be told to fail, or say that they are other devices.
fn wrapped(count: usize, change: impl Fn(usize, &mut Wrapped)) -> Ranks {
    let Ranks { devices, group } = ranks(count);
    let devices = devices.into_iter().enumerate().map(|(rank, device)| -> Box<dyn Device> {
        let mut device = Wrapped::around(device, Arc::default(), Fails::InTheMiddle);
        change(rank, &mut device);
        Box::new(device)
    });
    Ranks { devices: devices.collect(), group }
}

fn try_parallel(path: &Path, ranks: Ranks, answers: Answers) -> Result<TensorParallel, BackendError> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let settings = settings(pages_for(spec.context).max(16), answers);
    TensorParallel::load(&spec, &checkpoint, ranks, &settings, &mut |_| ())
}

pub fn parallel(path: &Path, ranks: Ranks, answers: Answers) -> TensorParallel {
    try_parallel(path, ranks, answers).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every family, with biases and norms of heads and without, and a feed-forward width of 33, of which one rank has more than
/// the other.
#[test]
fn two_ranks_match_the_reference_and_the_golden_tokens() {
    for name in ["llama", "llama_bias", "mistral_window", "qwen2", "qwen3"] {
        let folder = fixtures().join("models").join(name);
        let expected = Expected::read(&folder);
        let rounded = logits(&mut reference(&folder), &expected.prompt);
        for answers in [Answers::Fastest, Answers::Reproducible] {
            let mut model = parallel(&folder, ranks(2), answers);
            let off = distance(&logits(&mut model, &expected.prompt), &rounded);
            println!("{name} {answers:?}: {off:.1e}");
            assert!(off < TOLERANCE, "{name} {answers:?}: off by {off:e}");
            let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
            assert_eq!(found, expected.greedy, "{name} {answers:?}");
        }
    }
}

#[test]
fn four_ranks_reproduce_the_golden_tokens() {
    let folder = fixtures().join("stories260k");
    let expected = Expected::read(&folder);
    let (first, rest) = expected.prompt.split_at(1);
    let golden: Vec<u32> = rest.iter().chain(&expected.greedy).copied().collect();
    let mut model = parallel(&folder, ranks(4), Answers::Fastest);
    assert_eq!(greedy(&mut model, first, golden.len()), golden);
}

/// Blocks of 32 and of 256 weights are divided between two ranks, read in their file and packed. What differs from one
/// device is where sums are cut, so the last bits of f32, which now and then change how a key, a value or an input is
/// rounded to f16: one part in 2048 of that number.
#[test]
fn two_ranks_of_quantised_models_agree_with_one() {
    for (file, rows, count) in [("tales-7m.Q8_0.gguf", 12, 8), ("tales-46m.Q4_K_M.gguf", 4, 1)] {
        let path = shipped(file);
        let prompt: Vec<u32> = IDS[..rows].iter().map(|id| id % 90).collect();
        for packs in [false, true] {
            let change = |device: &mut Wrapped| {
                device.facts.register_factors = packs;
                device.facts.cores = Some(4);
            };
            let mut one = Wrapped::new(Arc::new(AtomicBool::new(false)));
            change(&mut one);
            let mut one = load(&path, Box::new(one), Answers::Fastest);
            let mut two = parallel(&path, wrapped(2, |_, device| change(device)), Answers::Fastest);
            let off = distance(&logits(&mut two, &prompt), &logits(&mut one, &prompt));
            println!("{file}, packed {packs}: {off:.1e}");
            assert!(off < TOLERANCE, "{file}, packed {packs}: off by {off:e}");
            assert_eq!(
                greedy(&mut two, &prompt, count),
                greedy(&mut one, &prompt, count),
                "{file}, packed {packs}"
            );
            let whole = one.memory();
            for memory in two.memory() {
                assert!(2 * memory.cache == whole.cache, "{file}: {memory:?} of {whole:?}");
                assert!(
                    memory.weights.own + memory.weights.mapped < whole.weights.own + whole.weights.mapped
                );
            }
        }
    }
}

#[test]
fn a_mixed_step_of_two_ranks_equals_separate_ones_bit_for_bit() {
    for path in [fixtures().join("models/llama"), fixtures().join("models/qwen2")] {
        company_changes_nothing(&mut parallel(&path, ranks(2), Answers::Reproducible), &path);
    }
}

/// Barriers, hazards and bounds of each rank's kernels are looked at.
#[test]
fn two_ranks_make_no_mistake() {
    let folder = fixtures().join("models/qwen2");
    let expected = Expected::read(&folder);
    let rounded = logits(&mut reference(&folder), &expected.prompt);
    let group = Emulator::group(&emulator_settings(Checks::Checked, Schedule::Random(3)), 2).unwrap();
    let mut model = parallel(&folder, group, Answers::Fastest);
    let off = distance(&logits(&mut model, &expected.prompt), &rounded);
    assert!(off < TOLERANCE, "off by {off:e}");
}

#[test]
fn pages_are_those_of_one_device() {
    let folder = fixtures().join("models/llama");
    let prompt = &Expected::read(&folder).prompt[..40];
    let mut two = parallel(&folder, ranks(2), Answers::Reproducible);
    pages_may_be_copied(&mut two, prompt);

    let device = emulator(Checks::Plain, Schedule::InOrder);
    let mut one = load(&folder, Box::new(device), Answers::Reproducible);
    assert_eq!(one.cache(), two.cache());
    let begun = step(&prompt[..37], 0, vec![]);
    let last = step(&prompt[37..], 37, vec![2]);
    one.forward(&begun).unwrap();
    two.forward(&begun).unwrap();
    let expected = one.forward(&last).unwrap().to_vec();
    let (mut of_one, mut of_two) = (vec![0; one.cache().page_bytes()], vec![0; one.cache().page_bytes()]);
    for page in 0..2 {
        one.read_page(page, &mut of_one).unwrap();
        two.read_page(page, &mut of_two).unwrap();
        let values = |bytes: &[u8]| -> Vec<f32> {
            let halves = bytes.chunks_exact(2).map(|two| f16::from_le_bytes([two[0], two[1]]));
            halves.map(f16::to_f32).collect()
        };
        let off = distance(&values(&of_two), &values(&of_one));
        assert!(off < TOLERANCE, "page {page}: off by {off:e}");
        two.write_page(page + 7, &of_one).unwrap();
    }
    one.read_page(2, &mut of_one).unwrap();
    two.write_page(9, &of_one).unwrap();
    let off = distance(two.forward(&Step { page_table: vec![7, 8, 9], ..last }).unwrap(), &expected);
    assert!(off < TOLERANCE, "off by {off:e}");
}

/// Draws a token after `prompt`, in a step that is submitted and collected.
fn drawn(model: &mut TensorParallel, prompt: &[u32]) -> Result<Option<u32>, BackendError> {
    let settings = SamplingSettings::greedy();
    let draw = Draw { settings: &settings, logprobs: Logprobs::None, context: &[], pending: None, index: 0 };
    let pipeline: &mut dyn Pipeline = model.pipeline().expect("it has one");
    pipeline.submit(&step(prompt, 0, vec![prompt.len() as u32 - 1]), &[draw])?;
    let sampled = pipeline.collect()?;
    Ok(sampled.first().and_then(|row| row.as_ref().ok()).map(|sampled| sampled.token))
}

#[test]
fn a_rank_that_fails_fails_the_step_and_is_named() {
    let folder = fixtures().join("models/llama");
    let Expected { prompt, greedy, .. } = Expected::read(&folder);
    for pipelined in [false, true] {
        let fail = Arc::new(AtomicBool::new(false));
        let told = |rank: usize, device: &mut Wrapped| {
            if rank == 1 {
                device.fail = fail.clone();
            }
        };
        let mut model = parallel(&folder, wrapped(2, told), Answers::Fastest);
        assert_eq!(drawn(&mut model, &prompt).unwrap(), Some(greedy[0]));
        fail.store(true, Ordering::Relaxed);
        let error = match pipelined {
            true => drawn(&mut model, &prompt).unwrap_err(),
            false => model.forward(&step(&prompt, 0, vec![0])).map(drop).unwrap_err(),
        };
        let said = error.to_string();
        assert!(said.contains("GPU 2 of 2") && said.contains("told to"), "{said}");
        // The communication is over, whatever is asked for.
        for error in [
            drawn(&mut model, &prompt).unwrap_err(),
            model.forward(&step(&prompt, 0, vec![])).map(drop).unwrap_err(),
            model.read_page(0, &mut vec![0; model.cache().page_bytes()]).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }
}

#[test]
fn malformed_steps_are_refused_and_harm_nothing() {
    let folder = fixtures().join("models/llama");
    let Expected { prompt, greedy, vocab, .. } = Expected::read(&folder);
    let mut model = parallel(&folder, ranks(2), Answers::Fastest);
    let wrong = step(&[vocab as u32], 0, vec![0]);
    assert!(matches!(model.forward(&wrong).unwrap_err(), BackendError::Step(_)));
    let pages = vec![0; 1 << 16];
    let long = Step { page_table: pages, ..step(&prompt, 0, vec![]) };
    assert!(matches!(model.forward(&long).unwrap_err(), BackendError::Step(_)));
    assert_eq!(drawn(&mut model, &prompt).unwrap(), Some(greedy[0]));
}

#[test]
fn what_does_not_divide_is_refused_by_name() {
    let refused = |path: &Path, ranks: Ranks, answers| {
        try_parallel(path, ranks, answers).map(drop).unwrap_err().to_string()
    };
    let llama = fixtures().join("models/llama");
    let said = refused(&llama, ranks(4), Answers::Fastest);
    assert!(said.contains("among 4 GPUs: layer 0 has 2 key/value heads, no multiple of 4"), "{said}");
    let said = refused(&shipped("tales-46m.Q4_K_M.gguf"), ranks(4), Answers::Fastest);
    assert!(
        said.contains("128 columns of blk.0.attn_output.weight") && said.contains("blocks of 256"),
        "{said}"
    );
    let said = refused(&llama, ranks(1), Answers::Fastest);
    assert!(said.contains("2 to 8"), "{said}");
    let other = wrapped(2, |rank, device| device.facts.cores = Some(10 + rank as u32));
    let said = refused(&llama, other, Answers::Fastest);
    assert!(said.contains("they have to be alike"), "{said}");
}
