//! What has to hold for a whole model on any device. Tests here run it on the emulator, those of `wootz-ptx` on an NVIDIA GPU.
//! A test fails by a panic.

use std::path::Path;

use wootz_backend::Model;
use wootz_backend::sampling::{Draw, Logprobs, SamplingSettings};
use wootz_backend::step::{PageCopy, SequenceSlice, Step, pending};
use wootz_gpu::device::Device;
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::select::Answers;

use super::fixture::{
    Expected, distance, fixtures, greedy, likeliest, load, logits, reference, settings, step, try_load,
};

/// Makes devices, one after the other, that are alike.
pub type Open<'a> = &'a dyn Fn() -> Box<dyn Device>;

/// Logits may be off by this share of the greatest. Matrices of these models are f32, but matrix kernels multiply f16
/// tiles on some paths (eleven bits, so 5e-4 a product at most, and sums average), and the cache is f16.
pub const TOLERANCE: f32 = 5e-3;

/// The same where the device's library multiplies these f32 matrices, with both factors as f16. Products of such factors that are
/// exact and added up in f32 are 5.9e-3 off in the model that feels it most (`llama_bias`), 1.3e-3 in others.
pub const LIBRARY_TOLERANCE: f32 = 1e-2;

/// Token ids of no text in particular.
pub const IDS: [u32; 21] =
    [1, 403, 407, 261, 378, 9, 44, 120, 77, 3, 1024, 612, 5, 8, 300, 301, 302, 18, 19, 20, 21];

/// Tokens that are likely to be likely.
pub fn ordinary(count: usize) -> Vec<u32> {
    (0..count as u32).map(|place| (place * 37 + 11) % 90).collect()
}

/// Logits and golden tokens of a tiny model.
pub fn matches_the_reference(folder: &Path, open: Open<'_>) {
    let expected = Expected::read(folder);
    let rounded = logits(&mut reference(folder), &expected.prompt);
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let device = open();
        let library = answers == Answers::Fastest && device.facts().matrix_library;
        let tolerance = if library { LIBRARY_TOLERANCE } else { TOLERANCE };
        let mut model = load(folder, device, answers);
        let off = distance(&logits(&mut model, &expected.prompt), &rounded);
        println!("{} {answers:?}: {off:.1e}", folder.display());
        assert!(off < tolerance, "{} {answers:?}: off by {off:e}", folder.display());
        let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
        assert_eq!(found, expected.greedy, "{} {answers:?}", folder.display());
    }
}

/// The golden tokens of the stories, from a folder and from a GGUF file.
pub fn reproduces_stories(answers: Answers, open: Open<'_>) {
    let folder = fixtures().join("stories260k");
    let expected = Expected::read(&folder);
    let (first, rest) = expected.prompt.split_at(1);
    let golden: Vec<u32> = rest.iter().chain(&expected.greedy).copied().collect();
    for checkpoint in [folder.clone(), folder.join("model.gguf")] {
        let mut model = load(&checkpoint, open(), answers);
        assert_eq!(greedy(&mut model, first, golden.len()), golden, "{}", checkpoint.display());
    }
}

/// A context that decode attention shares out in partitions, computed in chunks.
pub fn long_contexts_agree(open: Open<'_>) {
    let folder = fixtures().join("stories260k");
    let tokens: Vec<u32> = (0..301).map(|place| place * 37 % 500 + 3).collect();
    let (prompt, last) = tokens.split_at(300);
    let mut exact = reference(&folder);
    exact.forward(&step(prompt, 0, vec![])).unwrap();
    let expected = exact.forward(&step(last, 300, vec![0])).unwrap().to_vec();
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let mut model = load(&folder, open(), answers);
        for start in (0..300).step_by(60) {
            model.forward(&step(&prompt[start..start + 60], start, vec![])).unwrap();
        }
        let off = distance(model.forward(&step(last, 300, vec![0])).unwrap(), &expected);
        println!("{answers:?}: {off:.1e}");
        assert!(off < TOLERANCE, "{answers:?}: off by {off:e}");
    }
}

/// Five sequences, some prompts and some single tokens, some of them in the middle of a context.
pub fn five(prompt: &[u32]) -> (Step, Vec<Step>) {
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
pub fn write_contexts(model: &mut dyn Model, prompt: &[u32]) {
    for (count, pages) in [(4, vec![7]), (17, vec![2, 11]), (31, vec![5, 3])] {
        let sequences = vec![SequenceSlice { rows: 0..count, pages: 0..pages.len() }];
        model.forward(&Step { page_table: pages, sequences, ..step(&prompt[..count], 0, vec![]) }).unwrap();
    }
}

/// Sequences don't change each other, bit for bit: alone, and together in one step.
pub fn mixed_equals_separate(path: &Path, device: Box<dyn Device>) {
    company_changes_nothing(&mut load(path, device, Answers::Reproducible), path);
}

/// The same of a model that is loaded, from `path`.
pub fn company_changes_nothing(model: &mut dyn Model, path: &Path) {
    let prompt = ordinary(40);
    let vocab = model.spec().vocab;
    let (together, separate) = five(&prompt);
    write_contexts(model, &prompt);
    let mixed = model.forward(&together).unwrap().to_vec();
    write_contexts(model, &prompt);
    for (number, alone) in separate.iter().enumerate() {
        let expected = &mixed[number * vocab..(number + 1) * vocab];
        assert!(model.forward(alone).unwrap() == expected, "{}, sequence {number}", path.display());
    }
}

/// A prompt in parts of any size.
pub fn chunks_give_the_same_bits(folder: &Path, open: Open<'_>) {
    let Expected { prompt, vocab, .. } = Expected::read(folder);
    let mut model = load(folder, open(), Answers::Reproducible);
    let whole = logits(&mut model, &prompt);
    let mut start = 0;
    for size in [1, 14, 2, 16, 7] {
        let chunk = step(&prompt[start..start + size], start, (0..size as u32).collect());
        assert_eq!(model.forward(&chunk).unwrap(), &whole[start * vocab..(start + size) * vocab], "{start}");
        start += size;
    }
}

/// A step of which nobody asked for logits.
pub fn a_step_without_sampled_rows_fills_the_cache(folder: &Path, open: Open<'_>) {
    let Expected { prompt, vocab, .. } = Expected::read(folder);
    let mut model = load(folder, open(), Answers::Reproducible);
    let whole = logits(&mut model, &prompt);
    assert_eq!(model.forward(&step(&prompt[..30], 0, vec![])).unwrap(), &[0.0; 0]);
    let last = model.forward(&step(&prompt[30..31], 30, vec![0])).unwrap();
    assert_eq!(last, &whole[30 * vocab..31 * vocab]);
}

/// The first `rows` tokens as a prompt, then the last of them once more as an answer, against the reference.
pub fn agrees_with_the_reference(path: &Path, rows: usize, answers: Answers, open: Open<'_>) {
    let prompt = &IDS[..rows];
    let rounded = logits(&mut reference(path), prompt);
    let last = &rounded[rounded.len() / rows * (rows - 1)..];
    let mut model = load(path, open(), answers);
    let whole = distance(&logits(&mut model, prompt), &rounded);
    let one = step(&prompt[rows - 1..], rows - 1, vec![0]);
    let single = distance(model.forward(&one).unwrap(), last);
    println!("{} {answers:?}: prompt {whole:.1e}, answer {single:.1e}", path.display());
    assert!(whole < TOLERANCE && single < TOLERANCE, "{answers:?}: off by {whole:e} and {single:e}");
}

/// A model whose matrices are packed at load, against the reference.
/// The answer is how many times several matrices are multiplied with in one launch.
pub fn agrees_when_packed(path: &Path, open: Open<'_>) -> usize {
    let mut joints = 0;
    let prompt: Vec<u32> = IDS[..20].iter().map(|id| id % 90).collect();
    let rounded = logits(&mut reference(path), &prompt);
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let mut model = load(path, open(), answers);
        assert_eq!(model.memory().weights.mapped, 0);
        joints = model.lowering().weights.joints.len();
        let off = distance(&logits(&mut model, &prompt), &rounded);
        println!("{} {answers:?}: {off:.1e}", path.display());
        assert!(off < 2.0 * TOLERANCE, "{} {answers:?}: off by {off:e}", path.display());
        one_by_one(&mut model, &prompt, &rounded, 17);
        // With room for a row only, activations lie as close as they can.
        let settings = GpuSettings { rows: 1, samples: 1, ..settings(64, answers) };
        let mut small = try_load(path, open(), &settings).unwrap_or_else(|error| panic!("{error}"));
        one_by_one(&mut small, &prompt[..6], &rounded, 0);
    }
    joints
}

/// Each token from `start` on by itself, which has kernels of its own, against the whole prompt.
fn one_by_one(model: &mut GpuModel, prompt: &[u32], whole: &[f32], start: usize) {
    let vocab = model.spec().vocab;
    for position in start..prompt.len() {
        let found = model.forward(&step(&prompt[position..=position], position, vec![0])).unwrap();
        let off = distance(found, &whole[position * vocab..(position + 1) * vocab]);
        assert!(off < 2.0 * TOLERANCE, "position {position} by itself: off by {off:e}");
    }
}

/// A prompt of more than 68 tokens, which is more rows than kernels for packed matrices take together: against the reference,
/// and bit for bit the same in parts where answers are reproducible.
pub fn long_prompts_agree(path: &Path, rows: usize, open: Open<'_>) {
    let prompt = ordinary(rows);
    let rounded = logits(&mut reference(path), &prompt);
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let settings = GpuSettings { rows, samples: rows, ..settings(64, answers) };
        let mut model = try_load(path, open(), &settings).unwrap_or_else(|error| panic!("{error}"));
        let whole = logits(&mut model, &prompt);
        let off = distance(&whole, &rounded);
        println!("{} {answers:?}, {rows} rows: {off:.1e}", path.display());
        assert!(off < 2.0 * TOLERANCE, "{answers:?}: off by {off:e}");
        if answers == Answers::Reproducible {
            in_parts(&mut model, &prompt, &whole);
        }
    }
}

/// The prompt in parts that several kernels multiply with, and its last token alone.
fn in_parts(model: &mut GpuModel, prompt: &[u32], whole: &[f32]) {
    let vocab = model.spec().vocab;
    let mut starts = vec![0, 1, 8, 17, 33, 66];
    starts.extend([prompt.len() - 1, prompt.len()]);
    for part in starts.windows(2) {
        let (start, end) = (part[0], part[1]);
        let rows = (0..(end - start) as u32).collect();
        let found = model.forward(&step(&prompt[start..end], start, rows)).unwrap();
        assert!(found == &whole[start * vocab..end * vocab], "rows {start} to {end} by themselves");
    }
}

/// A step in which `token` follows the 37 of the prompt, in the given pages.
fn answer(token: u32, position: usize, pages: [u32; 3]) -> Step {
    Step { page_table: pages.to_vec(), ..step(&[token], position, vec![0]) }
}

/// Pages are read and written by the host while steps are under way.
pub fn the_host_copies_pages_beside_steps(folder: &Path, open: Open<'_>) {
    let prompt = &Expected::read(folder).prompt[..37];
    let mut model = load(folder, open(), Answers::Reproducible);
    let settings = SamplingSettings::greedy();
    let draw = Draw { settings: &settings, logprobs: Logprobs::None, context: &[], pending: None, index: 0 };
    let next = |model: &mut GpuModel| {
        let drawn = model.pipeline().unwrap().collect().unwrap();
        drawn.first().map(|sampled| sampled.as_ref().unwrap().token)
    };

    // The answer in its own pages.
    model.forward(&step(prompt, 0, vec![])).unwrap();
    let mut expected = Vec::new();
    for index in 0..3 {
        let token = expected.last().copied().unwrap_or(7);
        let logits = model.forward(&answer(token, 37 + index, [0, 1, 2])).unwrap();
        expected.push(likeliest(logits));
    }

    // The same, while another answer to the prompt is under way: its page is copied by the step that writes it, and the
    // two before it are read by the host and put elsewhere.
    model.forward(&step(prompt, 0, vec![])).unwrap();
    let pipeline = model.pipeline().unwrap();
    let copies = vec![PageCopy { from: 2, to: 4 }];
    pipeline.submit(&Step { copies, ..answer(7, 37, [0, 1, 4]) }, &[draw]).unwrap();
    pipeline.submit(&answer(pending(0), 38, [0, 1, 4]), &[draw]).unwrap();
    let mut page = vec![0; model.cache().page_bytes()];
    for (from, to) in [(0, 8), (1, 9), (2, 10)] {
        model.read_page(from, &mut page).unwrap();
        model.write_page(to, &page).unwrap();
    }
    let (first, second) = (next(&mut model), next(&mut model));
    assert_eq!([first, second], [Some(expected[0]), Some(expected[1])]);
    model.pipeline().unwrap().submit(&answer(7, 37, [8, 9, 10]), &[draw]).unwrap();
    model.pipeline().unwrap().submit(&answer(pending(0), 38, [8, 9, 10]), &[draw]).unwrap();
    assert_eq!(next(&mut model), Some(expected[0]));
    model.pipeline().unwrap().submit(&answer(pending(0), 39, [8, 9, 10]), &[draw]).unwrap();
    assert_eq!([next(&mut model), next(&mut model)], [Some(expected[1]), Some(expected[2])]);
}
