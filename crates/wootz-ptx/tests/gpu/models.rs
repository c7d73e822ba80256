//! Whole models: what has to hold on any device, of more models than the emulator has time for.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use wootz_gpu::device::Device;
use wootz_gpu::kernels::attention::Route;
use wootz_gpu::model::GpuModel;
use wootz_gpu::select::Answers;

use super::answers::steps_need_no_wait;
use super::fixture::{
    self, Rewrite, fixtures, greedy, likeliest, load as load_on, logits, pages_may_be_copied, reference,
    rewritten, shipped, tiny_models,
};
use super::whole::{self, Open, ordinary};
use super::{Place, attention_bits};

/// The models that ship with the program.
pub const SHIPPED: [&str; 2] = ["tales-7m.Q8_0.gguf", "tales-46m.Q4_K_M.gguf"];

/// Looks at one model; panics where something does not hold.
type Check = fn(&Path, Open<'_>);

/// A test for each model and each thing that has to hold for it.
pub fn trials(place: Place) -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |what: &str, path: PathBuf, check: Check| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let run = move || {
            check(&path, &move || open(place));
            Ok(())
        };
        trials.push(Trial::test(format!("models::{what}::{name}"), run));
    };
    for folder in tiny_models() {
        add("reference", folder.clone(), whole::matches_the_reference);
        add("company", folder.clone(), in_company);
        add("chunks", folder, whole::chunks_give_the_same_bits);
    }
    for name in ["llama", "qwen3"] {
        let folder = fixtures().join("models").join(name);
        add("no samples", folder.clone(), whole::a_step_without_sampled_rows_fills_the_cache);
        add("beside steps", folder.clone(), whole::the_host_copies_pages_beside_steps);
        add("engine", folder, steps_need_no_wait);
    }
    add("bf16", fixtures().join("models/llama"), packs_bf16);
    for name in ["llama_bias", "qwen2", "mistral_window"] {
        add("biases", fixtures().join("models").join(name), packs_biases);
    }
    let stories = fixtures().join("stories260k");
    add("golden", stories.clone(), |_, open| whole::reproduces_stories(Answers::Fastest, open));
    add("golden deterministic", stories.clone(), |_, open| {
        whole::reproduces_stories(Answers::Reproducible, open);
    });
    add("long context", stories, |_, open| whole::long_contexts_agree(open));
    for file in SHIPPED {
        let path = shipped(file);
        add("answers", path.clone(), says_what_the_reference_says);
        add("packed", path.clone(), |path, open| assert!(whole::agrees_when_packed(path, open) > 0));
        add("company", path.clone(), in_company);
        add("long prompt", path.clone(), |path, open| whole::long_prompts_agree(path, 150, open));
        add("copies", path.clone(), goes_on_in_copied_pages);
    }
    trials.push(Trial::test("models::attention in chunks", move || {
        for scene in attention_bits::tiled_scenes() {
            attention_bits::chunks_of_a_prompt_are_the_prompt(open(place), scene, Route::Tiled);
            attention_bits::a_mixed_step_is_its_sequences_one_by_one(open(place), scene);
        }
        Ok(())
    }));
    trials
}

fn open(place: Place) -> Box<dyn Device> {
    place.open().unwrap_or_else(|reason| panic!("{reason}"))
}

/// A model on the first GPU.
pub fn load(path: &Path, answers: Answers) -> GpuModel {
    load_on(path, open(Place::Gpu), answers)
}

fn in_company(path: &Path, open: Open<'_>) {
    whole::mixed_equals_separate(path, open());
}

/// Matrices of bf16 are packed.
fn packs_bf16(folder: &Path, open: Open<'_>) {
    let folder = rewritten(folder, Rewrite::BFloat16);
    whole::agrees_when_packed(folder.path(), open);
    whole::mixed_equals_separate(folder.path(), open());
}

/// Products with biases that are one launch, and matrices beside them that are not packed.
fn packs_biases(folder: &Path, open: Open<'_>) {
    for plain in ["nothing", "v_proj", "up_proj"] {
        let folder = fixture::widened(folder, plain);
        whole::agrees_when_packed(folder.path(), open);
        whole::mixed_equals_separate(folder.path(), open());
    }
}

/// An answer's tokens are the reference's likeliest, or as likely as rounding can tell: each of two logits may be off.
fn says_what_the_reference_says(path: &Path, open: Open<'_>) {
    let answer = greedy(&mut load_on(path, open(), Answers::Fastest), &ordinary(40), 64);
    let text = [ordinary(40), answer.clone()].concat();
    let logits = logits(&mut reference(path), &text);
    let rows = logits.chunks_exact(logits.len() / text.len()).skip(39);
    for (place, (token, row)) in answer.iter().zip(rows).enumerate() {
        let most = row.iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
        let (best, found) = (row[likeliest(row) as usize], row[*token as usize]);
        assert!(
            best - found <= 4.0 * whole::TOLERANCE * most,
            "token {place} is {token}: {found}, not {best}"
        );
    }
}

fn goes_on_in_copied_pages(path: &Path, open: Open<'_>) {
    pages_may_be_copied(&mut load_on(path, open(), Answers::Fastest), &ordinary(40));
}
