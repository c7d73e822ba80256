//! The GGUF and the safetensors of one model are one model: names, shapes and rotary pairs agree.

use wootz_backend::cpu::reference::CachePrecision;

use crate::fixture::{Expected, WITH_GGUF, distance, fixtures, logits, reference};

/// The weights are the same f32 numbers. Permuted rows of q and k change the order of sums over a head, and
/// llama3 divisors are rounded once more: nothing else may differ.
#[test]
fn gguf_and_safetensors_agree() {
    for name in WITH_GGUF {
        let folder = fixtures().join("models").join(name);
        let prompt = Expected::read(&folder).prompt;
        let from_folder = logits(&mut reference(&folder, CachePrecision::F32), &prompt);
        let from_gguf = logits(&mut reference(&folder.join("model.gguf"), CachePrecision::F32), &prompt);
        let off = distance(&from_gguf, &from_folder);
        println!("{name}: {off:.1e}");
        assert!(off < 2e-6, "{name}: logits are off by {off:e}");
    }
}
