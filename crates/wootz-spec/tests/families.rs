//! Configurations of real models, as published, and what they mean.

use serde_json::{Value, json};
use wootz_spec::{
    Attention, Ffn, Head, LayerRole, Mixer, ModelSpec, Naming, RopePairing, RopeScaling, Span, SpecError,
    TensorRole,
};

fn read(config: &Value) -> ModelSpec {
    ModelSpec::from_config(config).unwrap()
}

fn attention(spec: &ModelSpec, layer: usize) -> &Attention {
    let Mixer::Attention(attention) = &spec.layers[layer].mixer;
    attention
}

/// `config` with some fields changed; `null` is written as such.
fn with(config: &Value, changes: Value) -> Value {
    let mut changed = config.clone();
    changed.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    changed
}

fn llama32_1b() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": 128001, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
        "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
        "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"
        },
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
        "vocab_size": 128256
    })
}

fn qwen25_05b() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
        "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
        "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936
    })
}

fn mistral_7b() -> Value {
    json!({
        "architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
        "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000
    })
}

fn qwen3_06b() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128, "hidden_act": "silu",
        "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
        "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
        "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936
    })
}

#[test]
fn llama() {
    let spec = read(&llama32_1b());
    assert_eq!((spec.dim, spec.vocab, spec.context, spec.layers.len()), (2048, 128_256, 131_072, 16));
    assert_eq!(spec.head, Head::Tied);
    assert_eq!(spec.parameters(), 1_235_814_400);
    let attention = attention(&spec, 15);
    assert_eq!(
        (attention.heads, attention.kv_heads, attention.head_dim, attention.scale),
        (32, 8, 64, 0.125)
    );
    assert_eq!((attention.rope.theta, attention.rope.pairing), (500_000.0, RopePairing::Halves));
    let scaling = RopeScaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192 };
    assert_eq!(attention.rope.scaling, scaling);
    assert_eq!(spec.layers[0].mixer_norm.eps, 1e-5);
}

#[test]
fn qwen2() {
    let spec = read(&qwen25_05b());
    assert_eq!(spec.parameters(), 494_032_768);
    let attention = attention(&spec, 23);
    assert_eq!((attention.head_dim, attention.span), (64, Span::Full));
    assert!(attention.qkv_bias && !attention.output_bias);
}

#[test]
fn mistral() {
    let spec = read(&mistral_7b());
    assert_eq!(spec.parameters(), 7_241_732_096);
    assert_eq!((spec.head, attention(&spec, 0).span), (Head::Separate, Span::Window(4096)));
    // Transformers' class has a window of its own, which null switches off and silence does not.
    assert_eq!(attention(&read(&with(&mistral_7b(), json!({"sliding_window": null}))), 0).span, Span::Full);
    let mut silent = mistral_7b();
    silent.as_object_mut().unwrap().remove("sliding_window");
    assert_eq!(attention(&read(&silent), 0).span, Span::Window(4096));
    assert_eq!(attention(&read(&with(&silent, json!({"wootz_gguf": true}))), 0).span, Span::Full);
}

#[test]
fn qwen3() {
    let spec = read(&qwen3_06b());
    assert_eq!(spec.parameters(), 596_049_920);
    let attention = attention(&spec, 0);
    assert!(attention.qk_norm.is_some() && !attention.qkv_bias);
    assert_eq!(
        (attention.heads * attention.head_dim, attention.rope.scaling.clone()),
        (2048, RopeScaling::None)
    );
    let with_bias = read(&with(&qwen3_06b(), json!({"attention_bias": true})));
    assert_eq!(
        with_bias.tensor_shape(TensorRole::Layer(0, LayerRole::AttentionOutputBias)),
        Some(vec![1024])
    );
}

#[test]
fn windows_of_qwen_begin_at_a_layer_or_follow_layer_types() {
    let on = json!({"use_sliding_window": true, "sliding_window": 512, "max_window_layers": 21});
    let spec = read(&with(&qwen25_05b(), on));
    assert_eq!((attention(&spec, 20).span, attention(&spec, 21).span), (Span::Full, Span::Window(512)));

    let types = ["full_attention", "sliding_attention"].repeat(12);
    let spec = read(&with(
        &qwen25_05b(),
        json!({"use_sliding_window": true, "sliding_window": 512, "layer_types": types}),
    ));
    assert_eq!((attention(&spec, 22).span, attention(&spec, 23).span), (Span::Full, Span::Window(512)));

    let off = with(&qwen25_05b(), json!({"layer_types": types}));
    assert!(ModelSpec::from_config(&off).unwrap_err().to_string().contains("layer_types"));
}

#[test]
fn both_spellings_of_rope_mean_the_same() {
    let mut new = llama32_1b();
    let object = new.as_object_mut().unwrap();
    let mut rope = object.remove("rope_scaling").unwrap();
    rope["rope_theta"] = object.remove("rope_theta").unwrap();
    object.insert("rope_parameters".to_owned(), rope);
    assert_eq!(read(&new), read(&llama32_1b()));
}

#[test]
fn a_gguf_file_has_other_pairs_and_its_own_factors() {
    let gguf = json!({"wootz_gguf": true, "rope_factors": true, "rope_scaling": null});
    let llama = read(&with(&llama32_1b(), gguf.clone()));
    let rope = &attention(&llama, 0).rope;
    assert_eq!((rope.pairing, &rope.scaling), (RopePairing::Interleaved, &RopeScaling::Factors));
    assert_eq!(llama.tensor_shape(TensorRole::RopeFactors), Some(vec![32]));
    assert_eq!(attention(&read(&with(&qwen3_06b(), gguf)), 0).rope.pairing, RopePairing::Halves);
    // Biases of q, k and v alone.
    let biases = json!({"wootz_gguf": true, "attention_bias": true, "attention_output_bias": false});
    let spec = read(&with(&llama32_1b(), biases));
    assert!(attention(&spec, 0).qkv_bias && !attention(&spec, 0).output_bias);
}

#[test]
fn tensors_have_the_names_of_both_schemes() {
    let spec = read(&with(&llama32_1b(), json!({"mlp_bias": true, "tie_word_embeddings": false})));
    let names = |naming| spec.tensors().map(|role| role.name(naming)).collect::<Vec<_>>();
    let (hugging_face, gguf) = (names(Naming::HuggingFace), names(Naming::Gguf));
    assert_eq!(hugging_face.len(), 3 + 16 * (9 + 3));
    for (one, other) in [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.layers.15.self_attn.o_proj.weight", "blk.15.attn_output.weight"),
        ("model.layers.7.mlp.down_proj.bias", "blk.7.ffn_down.bias"),
        ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
    ] {
        let at = hugging_face.iter().position(|name| name == one);
        assert!(at.is_some() && at == gguf.iter().position(|name| name == other), "{one} is {other}");
    }
    let Ffn::Dense { hidden, bias, .. } = spec.layers[0].ffn;
    assert_eq!((hidden, bias), (8192, true));
}

/// The message for a configuration that differs from Llama's in one field.
fn refusal(changes: Value) -> String {
    ModelSpec::from_config(&with(&llama32_1b(), changes)).unwrap_err().to_string()
}

#[test]
fn what_is_not_supported_is_named() {
    for (changes, parts) in [
        (
            json!({"architectures": ["MambaForCausalLM"]}),
            vec!["MambaForCausalLM", "LlamaForCausalLM, Mistral"],
        ),
        (json!({"hidden_act": "gelu"}), vec!["hidden_act", "gelu", "silu"]),
        (
            json!({"rope_scaling": {"rope_type": "longrope"}}),
            vec!["rope_scaling.rope_type", "longrope", "yarn"],
        ),
        (json!({"rope_scaling": {"type": "dynamic", "factor": 2}}), vec!["rope_scaling.type", "dynamic"]),
        (json!({"quantization_config": {"quant_method": "gptq"}}), vec!["quant_method", "gptq", "GGUF"]),
        (
            json!({"rope_scaling": null, "rope_parameters": {"full_attention": {"rope_theta": 1}}}),
            vec!["rope_parameters.full_attention"],
        ),
        (json!({"rope_factors": true}), vec!["rope_factors"]),
    ] {
        let message = refusal(changes);
        for part in parts {
            assert!(message.contains(part), "{message:?} does not name {part:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_named() {
    for (changes, parts) in [
        (json!({"num_hidden_layers": 0}), vec!["num_hidden_layers", "0"]),
        (json!({"num_attention_heads": 32, "num_key_value_heads": 7}), vec!["num_key_value_heads = 7", "32"]),
        (json!({"head_dim": 63}), vec!["head_dim = 63", "even"]),
        (json!({"head_dim": null, "hidden_size": 2049}), vec!["hidden_size = 2049", "32"]),
        (json!({"vocab_size": -5}), vec!["vocab_size = -5"]),
        (json!({"hidden_size": 1e30}), vec!["hidden_size = 1e"]),
        (json!({"intermediate_size": "8192"}), vec!["intermediate_size = \"8192\""]),
        (json!({"rms_norm_eps": -1.0}), vec!["rms_norm_eps = -1"]),
        (json!({"rope_theta": 0}), vec!["rope_theta = 0"]),
        (json!({"rope_scaling": {"rope_type": "linear"}}), vec!["rope_scaling.factor"]),
        (json!({"rope_scaling": {"rope_type": "linear", "factor": 0}}), vec!["rope_scaling.factor = 0"]),
        (json!({"rope_scaling": 7}), vec!["rope_scaling = 7", "object"]),
        (json!({"partial_rotary_factor": 0.01}), vec!["partial_rotary_factor", "64"]),
        (json!({"tie_word_embeddings": "yes"}), vec!["tie_word_embeddings = \"yes\""]),
        (json!({"architectures": []}), vec!["architectures"]),
    ] {
        let message = refusal(changes);
        for part in parts {
            assert!(message.contains(part), "{message:?} does not name {part:?}");
        }
    }
    assert!(matches!(ModelSpec::from_config(&json!([1])), Err(SpecError::NotAnObject { .. })));
    let missing = ModelSpec::from_config(&json!({"architectures": ["LlamaForCausalLM"]}));
    assert_eq!(missing, Err(SpecError::Missing { field: "hidden_size".to_owned() }));
}

#[test]
fn a_long_value_is_shown_short() {
    assert!(refusal(json!({"hidden_act": "x".repeat(10_000)})).len() < 300);
}
