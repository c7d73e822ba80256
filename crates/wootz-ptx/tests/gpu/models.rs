//! Whole models: logits beside the reference's, golden tokens, and answers that don't depend on company.

#[path = "../../../wootz-backend/tests/truth/fixture.rs"]
#[allow(dead_code)] // the backend's tests use what is not used here
pub mod truth;

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use truth::{Expected, distance, greedy, logits, pages_may_be_copied, reference, step};
use wootz_backend::Model;
use wootz_backend::cache::pages_for;
use wootz_backend::cpu::reference::CachePrecision;
use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_backend::step::{SequenceSlice, Step};
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

/// Logits may be off by this share of the greatest. Matrices of these models are f32, but matrix kernels multiply f16
/// tiles on some paths (eleven bits, so 5e-4 a product at most, and sums average), and the cache is f16.
pub const TOLERANCE: f32 = 5e-3;

/// What a test finds.
pub type Check = Result<(), Failed>;

/// A test for each model and each thing that has to hold for it.
pub fn trials() -> Vec<Trial> {
    // No kernel computes heads of 12 elements.
    let tiny = truth::tiny_models().filter(|folder| !folder.ends_with("mistral_old"));
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |what: &str, path: &Path, check: fn(&Path) -> Check| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.to_owned();
        trials.push(Trial::test(format!("models::{what}::{name}"), move || check(&path)));
    };
    for folder in tiny {
        add("reference", &folder, matches_the_reference);
        add("company", &folder, is_the_same_in_company);
    }
    for file in ["tales-7m.Q8_0.gguf", "tales-46m.Q4_K_M.gguf"] {
        let path = shipped(file);
        add("cpu", &path, says_what_the_cpu_says);
        add("company", &path, is_the_same_in_company);
        add("copies", &path, goes_on_in_copied_pages);
    }
    trials
}

/// A model that ships with the program.
pub fn shipped(file: &str) -> PathBuf {
    let here = Path::new("models").join(file);
    if here.exists() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(file) }
}

/// A model on the first GPU.
pub fn load(path: &Path, answers: Answers) -> Result<GpuModel, Failed> {
    let checkpoint = Checkpoint::open(path)?;
    let spec = ModelSpec::from_config(&checkpoint.config()?)?;
    let pages = pages_for(spec.context.min(2048)).max(16);
    let settings = GpuSettings { pages, rows: 64, samples: 64, answers, ..GpuSettings::default() };
    Ok(GpuModel::load(spec, &checkpoint, Box::new(crate::open()?), &settings, &mut |_| ())?)
}

fn matches_the_reference(folder: &Path) -> Check {
    let expected = Expected::read(folder);
    let rounded = logits(&mut reference(folder, CachePrecision::F16), &expected.prompt);
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let mut model = load(folder, answers)?;
        let off = distance(&logits(&mut model, &expected.prompt), &rounded);
        if off >= TOLERANCE {
            return Err(format!("{answers:?}: logits are off by {off:e}").into());
        }
        let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
        if found != expected.greedy {
            return Err(format!("{answers:?}: {found:?} instead of {:?}", expected.greedy).into());
        }
    }
    Ok(())
}

/// Forty tokens that are likely to be likely.
pub fn prompt() -> Vec<u32> {
    (0..40).map(|place| (place * 37 + 11) % 90).collect()
}

fn says_what_the_cpu_says(path: &Path) -> Check {
    let checkpoint = Checkpoint::open(path)?;
    let spec = ModelSpec::from_config(&checkpoint.config()?)?;
    let settings = CpuSettings { pages: pages_for(128), ..CpuSettings::default() };
    let mut cpu = CpuModel::load(spec, &checkpoint, &settings, &mut |_| ())?;
    let expected = greedy(&mut cpu, &prompt(), 64);
    let found = greedy(&mut load(path, Answers::Fastest)?, &prompt(), 64);
    if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}").into()) }
}

/// Sequences of a step don't change each other, bit for bit: alone, together, and with the prompt in parts.
fn is_the_same_in_company(path: &Path) -> Check {
    let mut model = load(path, Answers::Reproducible)?;
    let prompt = prompt();
    let parts: [(usize, usize, Vec<u32>); 5] =
        [(0, 19, vec![9, 4]), (4, 1, vec![7]), (0, 3, vec![0]), (17, 2, vec![2, 11]), (31, 1, vec![5, 3])];
    let (mut together, mut separate) = (Step::default(), Vec::new());
    for (start, count, pages) in parts {
        // What the part looks back at.
        if start > 0 {
            let sequences = vec![SequenceSlice { rows: 0..start, pages: 0..pages.len() }];
            model.forward(&Step {
                page_table: pages.clone(),
                sequences,
                ..step(&prompt[..start], 0, vec![])
            })?;
        }
        let tokens = &prompt[start..start + count];
        let (row, entry) = (together.rows(), together.page_table.len());
        let sequences = vec![SequenceSlice { rows: 0..count, pages: 0..pages.len() }];
        separate.push(Step {
            page_table: pages.clone(),
            sequences,
            ..step(tokens, start, vec![count as u32 - 1])
        });
        together.tokens.extend_from_slice(tokens);
        together.positions.extend(start as u32..(start + count) as u32);
        together.sequences.push(SequenceSlice { rows: row..row + count, pages: entry..entry + pages.len() });
        together.page_table.extend(pages);
        together.sample_rows.push((row + count - 1) as u32);
    }
    let together = model.forward(&together)?.to_vec();
    let vocab = together.len() / separate.len();
    for (index, alone) in separate.iter().enumerate() {
        if model.forward(alone)? != &together[index * vocab..][..vocab] {
            return Err(format!("sequence {index} gives other bits alone than in company").into());
        }
    }
    Ok(())
}

fn goes_on_in_copied_pages(path: &Path) -> Check {
    pages_may_be_copied(&mut load(path, Answers::Fastest)?, &prompt());
    Ok(())
}
