//! GGUF metadata in the vocabulary of a Hugging Face `config.json`, so that one reader makes a model
//! description of both.

use serde_json::{Map, Number, Value as Json, json};

use super::metadata::Metadata;
use super::value::{Array, Value};
use crate::error::WeightsError;
use crate::tensor::Tensor;

/// GGUF's `general.architecture`, and `architectures` and `model_type` of `config.json`.
const ARCHITECTURES: &[(&str, &str, &str)] = &[
    ("llama", "LlamaForCausalLM", "llama"),
    ("qwen2", "Qwen2ForCausalLM", "qwen2"),
    ("qwen3", "Qwen3ForCausalLM", "qwen3"),
];

/// Keys after the architecture's prefix, and what `config.json` calls them. The meaning and unit are the
/// same.
const KEYS: &[(&str, &str)] = &[
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("block_count", "num_hidden_layers"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("context_length", "max_position_embeddings"),
    ("rope.freq_base", "rope_theta"),
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
];

/// Likewise for `rope_scaling`.
const ROPE_SCALING_KEYS: &[(&str, &str)] = &[
    ("rope.scaling.factor", "factor"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
    ("rope.scaling.yarn_attn_factor", "attention_factor"),
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
];

/// Token ids.
const TOKEN_KEYS: &[(&str, &str)] = &[
    ("tokenizer.ggml.bos_token_id", "bos_token_id"),
    ("tokenizer.ggml.eos_token_id", "eos_token_id"),
    ("tokenizer.ggml.padding_token_id", "pad_token_id"),
];

/// The configuration of a GGUF model, as `config.json` would give it. Besides the usual keys:
/// - `wootz_gguf`: true. Llama's q and k rows are permuted for interleaved rotary pairs.
/// - `rope_factors`: true if there is a tensor `rope_freqs.weight` of frequency divisors.
///
/// An architecture that is not in the table is passed through under its GGUF name.
///
/// # Errors
/// When the architecture's name is absent, or a value has a type that configuration values never have.
pub fn config<'a>(
    metadata: &Metadata,
    tensor: impl Fn(&str) -> Option<&'a Tensor>,
) -> Result<Json, WeightsError> {
    let architecture = metadata.get_str("general.architecture")?;
    let mut config = Map::new();
    for (key, name) in KEYS {
        insert(&mut config, name, metadata, &format!("{architecture}.{key}"))?;
    }
    for (key, name) in TOKEN_KEYS {
        insert(&mut config, name, metadata, key)?;
    }
    let (class, model_type) = class(architecture, &config);
    config.insert("architectures".to_string(), json!([class]));
    config.insert("model_type".to_string(), model_type.into());
    config.insert("hidden_act".to_string(), "silu".into());
    if let Some(vocab) = vocab_size(metadata, architecture, &tensor)? {
        config.insert("vocab_size".to_string(), vocab.into());
    }
    if let Some(factor) = partial_rotary_factor(metadata, architecture, &config)? {
        config.insert("partial_rotary_factor".to_string(), factor.into());
    }
    if let Some(scaling) = rope_scaling(metadata, architecture)? {
        config.insert("rope_scaling".to_string(), scaling);
    }
    let flags = [
        ("tie_word_embeddings", tensor("output.weight").is_none()),
        ("attention_bias", tensor("blk.0.attn_q.bias").is_some()),
        ("attention_output_bias", tensor("blk.0.attn_output.bias").is_some()),
        ("mlp_bias", tensor("blk.0.ffn_gate.bias").is_some()),
        ("rope_factors", tensor("rope_freqs.weight").is_some()),
        ("wootz_gguf", true),
    ];
    for (name, flag) in flags {
        config.insert(name.to_string(), flag.into());
    }
    Ok(Json::Object(config))
}

/// `architectures[0]` and `model_type`. Files called "llama" hold Mistral and Mixtral models too.
fn class(architecture: &str, config: &Map<String, Json>) -> (String, String) {
    let above_zero = |key| config.get(key).and_then(Json::as_u64).is_some_and(|value: u64| value > 0);
    let (class, model_type) = match ARCHITECTURES.iter().find(|(name, ..)| *name == architecture) {
        Some(("llama", ..)) if above_zero("num_local_experts") => ("MixtralForCausalLM", "mixtral"),
        Some(("llama", ..)) if above_zero("sliding_window") => ("MistralForCausalLM", "mistral"),
        Some((_, class, model_type)) => (*class, *model_type),
        None => (architecture, architecture),
    };
    (class.to_string(), model_type.to_string())
}

/// Rows of the embedding table; without one (a file with only a vocabulary), what the metadata says.
fn vocab_size<'a>(
    metadata: &Metadata,
    architecture: &str,
    tensor: &impl Fn(&str) -> Option<&'a Tensor>,
) -> Result<Option<u64>, WeightsError> {
    if let Some(table) = tensor("token_embd.weight") {
        return Ok(Some(table.rows() as u64));
    }
    if let Some(size) = metadata.optional_u64(&format!("{architecture}.vocab_size"))? {
        return Ok(Some(size));
    }
    Ok(metadata.optional_strings("tokenizer.ggml.tokens")?.map(|tokens| tokens.len() as u64))
}

/// The rotated share of a head, where it is not the whole head.
fn partial_rotary_factor(
    metadata: &Metadata,
    architecture: &str,
    config: &Map<String, Json>,
) -> Result<Option<f64>, WeightsError> {
    let Some(rotated) = metadata.optional_u64(&format!("{architecture}.rope.dimension_count"))? else {
        return Ok(None);
    };
    let number = |key| config.get(key).and_then(Json::as_u64);
    let head =
        number("head_dim").or_else(|| number("hidden_size")?.checked_div(number("num_attention_heads")?));
    Ok(head.filter(|head| *head != rotated && *head != 0).map(|head| rotated as f64 / head as f64))
}

fn rope_scaling(metadata: &Metadata, architecture: &str) -> Result<Option<Json>, WeightsError> {
    let mut scaling = Map::new();
    for (key, name) in ROPE_SCALING_KEYS {
        insert(&mut scaling, name, metadata, &format!("{architecture}.{key}"))?;
    }
    if !scaling.contains_key("factor") {
        // The key's name in the first files.
        insert(&mut scaling, "factor", metadata, &format!("{architecture}.rope.scale_linear"))?;
    }
    let kind = metadata.optional_str(&format!("{architecture}.rope.scaling.type"))?;
    // As in llama.cpp: without a type a factor is linear, and a factor of 0 or 1 stretches nothing.
    let kind = kind.unwrap_or("linear");
    let factor = scaling.get("factor").and_then(Json::as_f64).unwrap_or(0.0);
    if kind == "none" || (kind == "linear" && (factor == 0.0 || factor == 1.0)) {
        return Ok(None);
    }
    if let Some(attention) = metadata.optional_f32(&format!("{architecture}.rope.scaling.attn_factor"))? {
        // A factor on top of YaRN's own, which is 0.1 ln(factor) + 1 unless given.
        let own = scaling
            .get("attention_factor")
            .and_then(Json::as_f64)
            .unwrap_or(0.1 * factor.max(1.0).ln() + 1.0);
        scaling.insert("attention_factor".to_string(), (f64::from(attention) * own).into());
    }
    scaling.insert("rope_type".to_string(), kind.into());
    Ok(Some(Json::Object(scaling)))
}

/// Copies the value of `key`, if there is one, to `name`.
fn insert(
    config: &mut Map<String, Json>,
    name: &str,
    metadata: &Metadata,
    key: &str,
) -> Result<(), WeightsError> {
    let Some(value) = metadata.get(key) else { return Ok(()) };
    let json = to_json(value).ok_or_else(|| metadata.wrong(key, value.describe(), "a finite number"))?;
    config.insert(name.to_string(), json);
    Ok(())
}

/// A number or a boolean as JSON. A value for each layer becomes one value where all layers agree.
fn to_json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::U8(value) => (*value).into(),
        Value::I8(value) => (*value).into(),
        Value::U16(value) => (*value).into(),
        Value::I16(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::Bool(value) => (*value).into(),
        // Through decimal: 1e-5 stored as f32 is 1e-5 again, not 9.99999974e-6.
        Value::F32(value) => Json::Number(Number::from_f64(value.to_string().parse().ok()?)?),
        Value::F64(value) => Json::Number(Number::from_f64(*value)?),
        Value::Array(array) => per_layer(array)?,
        Value::String(_) => return None,
    })
}

fn per_layer(array: &Array) -> Option<Json> {
    let values = array.to_u64s()?;
    let first = *values.first()?;
    Some(if values.iter().all(|value| *value == first) { first.into() } else { values.into() })
}
