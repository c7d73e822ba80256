//! Rotary frequencies against those that Transformers computes (`fixtures/rope.json`, made by
//! `scripts/fixtures/models.py`).

use serde_json::{Value, json};
use wootz_spec::{Mixer, ModelSpec};

#[test]
fn frequencies_match_transformers() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/rope.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 256,
            "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 256, "head_dim": case["head_dim"],
            "max_position_embeddings": case["max_position_embeddings"], "rope_parameters": case["rope_parameters"],
        });
        let spec = ModelSpec::from_config(&config).unwrap();
        let Mixer::Attention(attention) = &spec.layers[0].mixer;
        let rotation = attention.rope.rotation(&[]);
        let expected = case["frequencies"].as_array().unwrap();
        assert_eq!(rotation.frequencies.len(), expected.len(), "{case}");
        for (found, expected) in rotation.frequencies.iter().zip(expected) {
            // Transformers raises to a power in f32: six digits of its results mean something.
            let (found, expected) = (f64::from(*found), expected.as_f64().unwrap());
            assert!((found - expected).abs() <= 2e-6 * expected, "{found} for {expected}: {case}");
        }
        let magnitude = case["magnitude"].as_f64().unwrap();
        assert!((f64::from(rotation.magnitude) - magnitude).abs() < 1e-6, "{}: {case}", rotation.magnitude);
    }
}
