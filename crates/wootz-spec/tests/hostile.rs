//! No configuration, however wrong, makes the reader panic; and what it accepts has shapes that multiply.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wootz_spec::{Mixer, ModelSpec, Naming};

const FIELDS: [&str; 30] = [
    "architectures",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "tie_word_embeddings",
    "attention_bias",
    "attention_output_bias",
    "mlp_bias",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "original_max_position_embeddings",
    "quantization_config",
    "wootz_gguf",
    "rope_factors",
    "rope_type",
    "factor",
    "truncate",
];

const ROPE_FIELDS: [&str; 14] = [
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
    "beta_fast",
    "beta_slow",
    "truncate",
    "original_max_position_embeddings",
    "partial_rotary_factor",
];

/// Numbers around every bound, texts that mean something somewhere, and nonsense.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..70).prop_map(Value::from),
        (0_u32..64).prop_map(|bits| Value::from(1_u64 << bits)),
        any::<f64>().prop_map(Value::from),
        (0.0..2.0).prop_map(Value::from),
        prop_oneof![
            Just("silu"),
            Just("default"),
            Just("linear"),
            Just("llama3"),
            Just("yarn"),
            Just("dynamic"),
            Just("LlamaForCausalLM"),
            Just("full_attention"),
            Just("sliding_attention"),
            Just(""),
        ]
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ]
}

fn rope_object() -> impl Strategy<Value = Value> {
    vec((prop::sample::select(&ROPE_FIELDS[..]), scalar()), 0..8).prop_map(object)
}

fn value() -> impl Strategy<Value = Value> {
    let nested = scalar().prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((prop::sample::select(&FIELDS[..]), inner), 0..4).prop_map(object),
        ]
    });
    prop_oneof![3 => scalar(), 1 => nested, 1 => rope_object()]
}

fn object(fields: Vec<(&'static str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// A good configuration with some fields replaced: gets further than nonsense does.
fn damaged() -> impl Strategy<Value = Value> {
    let family = prop_oneof![
        Just("LlamaForCausalLM"),
        Just("MistralForCausalLM"),
        Just("Qwen2ForCausalLM"),
        Just("Qwen3ForCausalLM"),
    ];
    (family, vec((prop::sample::select(&FIELDS[1..]), value()), 0..4)).prop_map(|(family, changes)| {
        let mut config = json!({
            "architectures": [family], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "head_dim": 16,
        });
        let replaced = object(changes);
        config.as_object_mut().unwrap().extend(replaced.as_object().unwrap().clone());
        config
    })
}

/// Whatever was accepted, its shapes multiply without overflow and its frequencies are numbers.
fn check(spec: &ModelSpec) {
    assert!(spec.parameters() > 0);
    for role in spec.tensors() {
        assert!(!role.name(Naming::Gguf).is_empty() && !role.name(Naming::HuggingFace).is_empty());
        let shape = spec.tensor_shape(role).unwrap();
        let bytes = shape.iter().try_fold(8_usize, |product, &extent| product.checked_mul(extent));
        assert!(bytes.is_some_and(|bytes| bytes > 0));
    }
    let Mixer::Attention(attention) = &spec.layers[0].mixer;
    let rotation = attention.rope.rotation(&[]);
    assert!(rotation.frequencies.iter().all(|frequency| frequency.is_finite()), "{:?}", attention.rope);
    assert!(rotation.magnitude.is_finite(), "{:?}", attention.rope);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nonsense_is_refused_without_a_panic(config in value()) {
        let _ = ModelSpec::from_config(&config).map(|spec| check(&spec));
    }

    #[test]
    fn damaged_configurations_are_read_or_refused(config in damaged()) {
        if let Ok(spec) = ModelSpec::from_config(&config) {
            check(&spec);
        }
    }
}
