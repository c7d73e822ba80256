//! The reference reproduces Transformers' logits and greedy continuations.

use wootz_backend::cpu::reference::CachePrecision;

use crate::fixture::{Expected, distance, fixtures, greedy, logits, reference, tiny_models};

#[test]
fn tiny_models_match_transformers_in_f32() {
    for folder in tiny_models() {
        let expected = Expected::read(&folder);
        let mut model = reference(&folder, CachePrecision::F32);
        let off = distance(&logits(&mut model, &expected.prompt), &expected.logits);
        println!("{}: {off:.1e}", folder.display());
        assert!(off < 1e-4, "{}: logits are off by {off:e}", folder.display());
        let found = greedy(&mut model, &expected.prompt, expected.greedy.len());
        assert_eq!(found, expected.greedy, "{}", folder.display());
    }
}

/// Keys and values in f16 have eleven significant bits: that, and no more, is what the cache costs.
#[test]
fn a_cache_in_f16_changes_little() {
    for folder in tiny_models() {
        let expected = Expected::read(&folder);
        let mut model = reference(&folder, CachePrecision::F16);
        let off = distance(&logits(&mut model, &expected.prompt), &expected.logits);
        println!("{}: {off:.1e}", folder.display());
        assert!(off < 2e-3, "{}: logits are off by {off:e}", folder.display());
    }
}

#[test]
fn stories_reproduce_their_golden_tokens() {
    let folder = fixtures().join("stories260k");
    let expected = Expected::read(&folder);
    for (checkpoint, precision, tolerance) in [
        (folder.clone(), CachePrecision::F32, 1e-4),
        (folder.clone(), CachePrecision::F16, 2e-3),
        (folder.join("model.gguf"), CachePrecision::F16, 5e-3),
    ] {
        let mut model = reference(&checkpoint, precision);
        let found = logits(&mut model, &expected.prompt);
        let off = distance(&found, &expected.logits);
        println!("{} {precision:?}: {off:.1e}", checkpoint.display());
        assert!(off < tolerance, "{}: logits are off by {off:e}", checkpoint.display());
        // From the first token on: the golden text is what the model says after BOS alone.
        let (first, rest) = expected.prompt.split_at(1);
        let golden: Vec<u32> = rest.iter().chain(&expected.greedy).copied().collect();
        assert_eq!(greedy(&mut model, first, golden.len()), golden, "{}", checkpoint.display());
        assert_eq!(found.len(), expected.prompt.len() * expected.vocab);
    }
}
