//! Models whose matrices are packed at load, as on NVIDIA's GPUs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wootz_gpu::select::Answers;

use super::fixture::{self, distance, fixtures, load, logits, reference, shipped};
use super::{IDS, TOLERANCE, Wrapped, mixed_equals_separate};

/// An emulator that says of itself that its kernels hold factors in registers, as NVIDIA's GPUs do.
fn packing_device() -> Box<Wrapped> {
    let mut device = Wrapped::new(Arc::new(AtomicBool::new(false)));
    device.facts.register_factors = true;
    device.facts.cores = Some(4);
    Box::new(device)
}

/// Quantised and plain models whose matrices are packed at load: prompts with the kernels for many rows and for eight,
/// answers with those for eight; and an embedding that is multiplied with too.
#[test]
fn packed_models_agree_with_the_reference() {
    let bfloat = fixture::rewritten(&fixtures().join("models/llama"), fixture::Rewrite::BFloat16);
    let models = [shipped("tales-7m.Q8_0.gguf"), shipped("tales-46m.Q4_K_M.gguf"), bfloat.path().to_owned()];
    for path in &models {
        let prompt: Vec<u32> = IDS[..20].iter().map(|id| id % 90).collect();
        let rounded = logits(&mut reference(path), &prompt);
        for answers in [Answers::Fastest, Answers::Reproducible] {
            let mut model = load(path, packing_device(), answers);
            assert_eq!(model.memory().weights.mapped, 0);
            let off = distance(&logits(&mut model, &prompt), &rounded);
            println!("{} {answers:?}: {off:.1e}", path.display());
            assert!(off < 2.0 * TOLERANCE, "{} {answers:?}: off by {off:e}", path.display());
        }
    }
}

#[test]
fn a_packed_mixed_step_equals_separate_ones_bit_for_bit() {
    mixed_equals_separate(&shipped("tales-7m.Q8_0.gguf"), packing_device());
}
