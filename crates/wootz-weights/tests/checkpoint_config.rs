//! GGUF metadata as a `config.json`.

use std::path::Path;

use serde_json::{Value as Json, json};
use wootz_weights::Checkpoint;
use wootz_weights::gguf::{Array, Metadata, Strings, Value, config};

fn made(entries: &[(&str, Value)]) -> Json {
    let mut metadata = Metadata::new("made.gguf");
    for (key, value) in entries {
        assert!(metadata.insert(*key, value.clone()));
    }
    config(&metadata, |_| None).unwrap()
}

fn architecture(name: &str) -> (&'static str, Value) {
    ("general.architecture", Value::String(name.to_string()))
}

#[test]
fn the_shipped_model_reads_as_its_own_config() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checkpoint = Checkpoint::open(root.join("models/tales-46m.Q4_K_M.gguf")).unwrap();
    let found = checkpoint.config().unwrap();
    let expected = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512,
        "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 4,
        "vocab_size": 16384, "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
        "bos_token_id": 0, "eos_token_id": 2, "wootz_gguf": true, "rope_factors": false,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "{key}");
    }
    assert!(found.get("rope_scaling").is_none() && found.get("partial_rotary_factor").is_none());
}

#[test]
fn files_called_llama_hold_other_families() {
    let class = |entries: &[(&str, Value)]| made(entries)["architectures"][0].clone();
    let llama = architecture("llama");
    assert_eq!(class(std::slice::from_ref(&llama)), "LlamaForCausalLM");
    assert_eq!(class(&[llama.clone(), ("llama.expert_count", Value::U32(8))]), "MixtralForCausalLM");
    assert_eq!(class(&[llama, ("llama.attention.sliding_window", Value::U32(4096))]), "MistralForCausalLM");
    assert_eq!(class(&[architecture("qwen2")]), "Qwen2ForCausalLM");
    assert_eq!(class(&[architecture("mamba")]), "mamba");
}

#[test]
fn rope_scaling_is_translated() {
    let scaling = |entries: &[(&str, Value)]| {
        let with: Vec<_> = std::iter::once(architecture("llama")).chain(entries.iter().cloned()).collect();
        made(&with).get("rope_scaling").cloned()
    };
    let factor = ("llama.rope.scaling.factor", Value::F32(4.0));
    let kind = |name: &str| ("llama.rope.scaling.type", Value::String(name.to_string()));
    assert_eq!(scaling(&[]), None);
    assert_eq!(scaling(&[kind("none"), factor.clone()]), None);
    assert_eq!(scaling(std::slice::from_ref(&factor)), Some(json!({ "rope_type": "linear", "factor": 4.0 })));
    let old = ("llama.rope.scale_linear", Value::F32(2.0));
    assert_eq!(scaling(&[old]), Some(json!({ "rope_type": "linear", "factor": 2.0 })));
    let original = ("llama.rope.scaling.original_context_length", Value::U32(4096));
    let yarn =
        scaling(&[kind("yarn"), factor, original, ("llama.rope.scaling.yarn_beta_fast", Value::F32(16.0))]);
    let expected = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096, "beta_fast": 16.0,
    });
    assert_eq!(yarn, Some(expected));
}

#[test]
fn values_of_layers_become_one_where_they_agree() {
    let heads = |values: Vec<u32>| {
        made(&[architecture("llama"), ("llama.attention.head_count", Value::Array(Array::U32(values)))])
    };
    assert_eq!(heads(vec![8, 8, 8])["num_attention_heads"], 8);
    assert_eq!(heads(vec![8, 4])["num_attention_heads"], json!([8, 4]));
}

#[test]
fn a_vocabulary_alone_has_a_size() {
    let tokens: Strings = ["a", "b", "c"].into_iter().collect();
    let tokens = ("tokenizer.ggml.tokens", Value::Array(Array::Strings(tokens)));
    assert_eq!(made(&[architecture("qwen2"), tokens])["vocab_size"], 3);
}

#[test]
fn a_partly_rotated_head_has_a_factor() {
    let found = made(&[
        architecture("llama"),
        ("llama.attention.key_length", Value::U32(128)),
        ("llama.rope.dimension_count", Value::U64(32)),
    ]);
    assert_eq!(found["partial_rotary_factor"], 0.25);
}

#[test]
fn wrong_types_are_named() {
    let mut metadata = Metadata::new("made.gguf");
    let message = config(&metadata, |_| None).unwrap_err().to_string();
    assert!(message.contains("made.gguf has no metadata key general.architecture"), "{message}");
    metadata.insert("general.architecture", Value::String("llama".to_string()));
    metadata.insert("llama.block_count", Value::String("twelve".to_string()));
    let message = config(&metadata, |_| None).unwrap_err().to_string();
    assert!(message.contains("metadata key llama.block_count: found string"), "{message}");
}
