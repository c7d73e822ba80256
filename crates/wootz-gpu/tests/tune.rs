//! Measuring kernels on the emulator: which are tried, and that a model runs with what was found.

#[allow(dead_code)]
#[path = "models/fixture.rs"]
mod fixture;

use fixture::{distance, emulator, logits, settings, shipped, try_load};
use wootz_gpu::choices::Choices;
use wootz_gpu::emulator::{Checks, Schedule};
use wootz_gpu::model::GpuSettings;
use wootz_gpu::select::Answers;
use wootz_gpu::tune::{TuneSettings, tune};

#[test]
fn a_model_runs_with_tensor_operations_where_they_won() {
    let path = shipped("tales-7m.Q8_0.gguf");
    let device = || Box::new(emulator(Checks::Plain, Schedule::InOrder));
    let rows = 9;
    // Two candidates are enough, and the emulator is slow.
    let others = ["gemm_rows8_q8_0", "gemm_rows32_q8_0", "gemm_head_q8_0", "gemm_q8_0"];
    let excluded = others.map(String::from).into();
    let choices = Choices { excluded, ..Choices::default() };
    let few = GpuSettings { choices, ..settings(16, Answers::Fastest) };
    let mut model = try_load(&path, device(), &few).unwrap();
    let settings_of_tune = TuneSettings { rows: vec![rows], repeats: 1 };
    let trials = tune(&mut model, &settings_of_tune, &mut |_, _, _| ()).unwrap();
    let tensors = "gemm_tensor".to_owned();
    let mut choices = Choices::default();
    for trial in &trials {
        // It is measured where its results are right.
        assert!(
            trial.measured.iter().any(|(name, _)| *name == tensors),
            "{}: {:?}",
            trial.key,
            trial.measured
        );
        assert_ne!(trial.expected, tensors);
        choices.winners.insert(trial.key.clone(), tensors.clone());
    }
    let prompt: Vec<u32> = (0..rows as u32).map(|token| 3 + 7 * token).collect();
    let expected = logits(&mut model, &prompt);
    let winning = GpuSettings { choices, ..settings(16, Answers::Fastest) };
    let mut model = try_load(&path, device(), &winning).unwrap();
    // The same rounded factors, added in another order; but what is rounded next may fall to the other side.
    let off = distance(&logits(&mut model, &prompt), &expected);
    assert!(off < 1.0e-3, "off by {off:e}");
}
