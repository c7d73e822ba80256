//! Models on two GPUs, beside references, the CPU's tokens and one GPU; and what becomes of a group when a GPU fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::{Failed, Trial};
use wootz_backend::Model;
use wootz_backend::cache::pages_for;
use wootz_backend::model::Pipeline;
use wootz_backend::sampling::{Draw, Logprobs, SamplingSettings};
use wootz_backend::step::{Step, pending};
use wootz_gpu::collective::Ranks;
use wootz_gpu::cuda::Cuda;
use wootz_gpu::model::TensorParallel;
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use super::fixture::{
    Expected, distance, fixtures, greedy, likeliest, logits, pages_may_be_copied, reference, settings,
    shipped, step,
};
use super::models::{SHIPPED, load as on_one};
use super::whole::{LIBRARY_TOLERANCE, ordinary};
use super::wrapped::{Fails, Wrapped};

/// What a test finds.
type Check = Result<(), Failed>;

/// The tests, where there are two GPUs and NCCL.
pub fn trials() -> Vec<Trial> {
    if !wootz_gpu::cuda::has(1) {
        return vec![Trial::test("two GPUs are needed", || Ok(())).with_ignored_flag(true)];
    }
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |what: &str, path: &Path, check: fn(&Path) -> Check| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.to_owned();
        trials.push(Trial::test(format!("groups::{what}::{name}"), move || check(&path)));
    };
    for name in ["llama", "llama_bias", "qwen2", "qwen3"] {
        add("reference", &fixtures().join("models").join(name), matches_the_reference);
    }
    for file in SHIPPED {
        add("one", &shipped(file), agrees_with_one);
        add("ahead", &shipped(file), goes_ahead);
        add("copies", &shipped(file), goes_on_in_copied_pages);
    }
    add("failure", &shipped("tales-7m.Q8_0.gguf"), ends_when_a_gpu_fails);
    trials
}

fn group() -> Result<Ranks, Failed> {
    Ok(Cuda::group(&[0, 1], &wootz_ptx::programs())?)
}

fn load(path: &Path, ranks: Ranks, answers: Answers) -> Result<TensorParallel, Failed> {
    let checkpoint = Checkpoint::open(path)?;
    let spec = ModelSpec::from_config(&checkpoint.config()?)?;
    let settings = settings(pages_for(spec.context).max(16), answers);
    Ok(TensorParallel::load(&spec, &checkpoint, ranks, &settings, &mut |_| ())?)
}

fn matches_the_reference(folder: &Path) -> Check {
    let expected = Expected::read(folder);
    let rounded = logits(&mut reference(folder), &expected.prompt);
    for answers in [Answers::Fastest, Answers::Reproducible] {
        let mut model = load(folder, group()?, answers)?;
        let off = distance(&logits(&mut model, &expected.prompt), &rounded);
        if off >= LIBRARY_TOLERANCE {
            return Err(format!("{answers:?}: logits are off by {off:e}").into());
        }
        let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
        if found != expected.greedy {
            return Err(format!("{answers:?}: {found:?} instead of {:?}", expected.greedy).into());
        }
    }
    Ok(())
}

fn agrees_with_one(path: &Path) -> Check {
    let (mut one, mut two) = (on_one(path, Answers::Fastest), load(path, group()?, Answers::Fastest)?);
    let off = distance(&logits(&mut two, &ordinary(40)), &logits(&mut one, &ordinary(40)));
    let (found, expected) = (greedy(&mut two, &ordinary(40), 64), greedy(&mut one, &ordinary(40), 64));
    if off >= LIBRARY_TOLERANCE || found != expected {
        return Err(format!("logits are off by {off:e}; {found:?} instead of {expected:?}").into());
    }
    Ok(())
}

/// One answer of `count` tokens, with two steps under way: those that come again are graphs, with the sums in them.
fn ahead(model: &mut TensorParallel, prompt: &[u32], count: usize) -> Result<Vec<u32>, Failed> {
    let settings = SamplingSettings::greedy();
    let draw = Draw { settings: &settings, logprobs: Logprobs::None, context: &[], pending: None, index: 0 };
    let pipeline: &mut dyn Pipeline = model.pipeline().ok_or("it draws nothing")?;
    pipeline.submit(&step(prompt, 0, vec![prompt.len() as u32 - 1]), &[draw])?;
    let mut tokens = Vec::new();
    for index in 0..count {
        if index + 1 < count {
            pipeline.submit(&step(&[pending(0)], prompt.len() + index, vec![0]), &[draw])?;
        }
        let drawn = pipeline.collect()?;
        let token = drawn.first().and_then(|row| row.as_ref().ok()).ok_or("nothing was drawn")?;
        tokens.push(token.token);
    }
    Ok(tokens)
}

fn goes_ahead(path: &Path) -> Check {
    let mut model = load(path, group()?, Answers::Fastest)?;
    let expected = greedy(&mut model, &ordinary(40), 200);
    for _ in 0..2 {
        let found = ahead(&mut model, &ordinary(40), 200)?;
        if found != expected {
            return Err(format!("{found:?} instead of {expected:?}").into());
        }
    }
    Ok(())
}

fn goes_on_in_copied_pages(path: &Path) -> Check {
    pages_may_be_copied(&mut load(path, group()?, Answers::Reproducible)?, &ordinary(40));
    Ok(())
}

/// The other GPU waits in a sum, in a graph too, until the group is ended; then the model can be given up and loaded again.
fn ends_when_a_gpu_fails(path: &Path) -> Check {
    for graphs in [false, true] {
        let fail = Arc::new(AtomicBool::new(false));
        let Ranks { mut devices, group } = group()?;
        let device = devices.pop().ok_or("a group has two")?;
        devices.push(Box::new(Wrapped::around(device, fail.clone(), Fails::AtOnce)));
        let mut model = load(path, Ranks { devices, group }, Answers::Fastest)?;
        let last: Step = step(&[5], 40, vec![0]);
        for _ in 0..if graphs { 4 } else { 0 } {
            model.forward(&last)?;
        }
        fail.store(true, Ordering::Relaxed);
        let said = match model.forward(&last) {
            Ok(_) => return Err("a step without one of the GPUs succeeded".into()),
            Err(error) => error.to_string(),
        };
        if !said.contains("GPU 2 of 2") || !said.contains("told to") {
            return Err(said.into());
        }
        if model.forward(&last).is_ok() {
            return Err("the step after it succeeded".into());
        }
        drop(model);
    }
    let mut again = load(path, group()?, Answers::Fastest)?;
    let found = likeliest(again.forward(&step(&ordinary(40), 0, vec![39]))?);
    let expected = likeliest(on_one(path, Answers::Fastest).forward(&step(&ordinary(40), 0, vec![39]))?);
    if found == expected { Ok(()) } else { Err(format!("{found} instead of {expected}").into()) }
}
