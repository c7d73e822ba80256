//! Wider tests with models that are not in the repository's fixtures; skipped where they are absent.

use std::path::{Path, PathBuf};

use wootz_backend::cpu::Isa;
use wootz_backend::cpu::reference::CachePrecision;

use crate::device::device;
use crate::fixture::{distance, likeliest, logits, reference};

/// `path` under the folder that lies beside the repository.
fn beside_repository(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if !found.exists() {
        println!("skipped: no {}", found.display());
        return None;
    }
    Some(found)
}

/// The quantised files against the BF16 weights that they were made of. Wrong names, shapes or rotary pairs give
/// unrelated logits (a distance near 1 and no agreement on the likeliest token).
#[test]
fn quantised_gguf_and_safetensors_agree() {
    for (gguf, folder, tolerance, agreement) in [
        ("models/tales-7m.Q8_0.gguf", "models/tales-7m", 0.02, 0.95),
        ("models/tales-46m.Q4_K_M.gguf", "models/tales-46m", 0.15, 0.80),
    ] {
        let (Some(gguf), Some(folder)) = (beside_repository(gguf), beside_repository(folder)) else { return };
        // Ids of no text in particular, the same for both.
        let ids: Vec<u32> = (0..48_u32).map(|index| index.wrapping_mul(2_654_435_761) % 16_384).collect();
        let exact = logits(&mut reference(&folder, CachePrecision::F32), &ids);
        let quantised = logits(&mut reference(&gguf, CachePrecision::F32), &ids);
        let off = distance(&quantised, &exact);
        let vocab = exact.len() / ids.len();
        let same = exact.chunks_exact(vocab).zip(quantised.chunks_exact(vocab));
        let same = same.filter(|(a, b)| likeliest(a) == likeliest(b)).count() as f32 / ids.len() as f32;
        // The device multiplies int8 activations: as far from the reference as a quantisation of that fineness is.
        let on_device = logits(&mut device(&gguf, Isa::detect(), 2), &ids);
        let device_off = distance(&on_device, &quantised);
        println!("{} on the device: off by {device_off:.1e}", gguf.display());
        assert!(device_off < 0.1, "{} on the device: off by {device_off:e}", gguf.display());
        println!("{}: off by {off:.1e}, {same:.2} of the likeliest tokens agree", gguf.display());
        assert!(off < tolerance && same >= agreement, "{}: off by {off:e}, {same} agree", gguf.display());
    }
}
