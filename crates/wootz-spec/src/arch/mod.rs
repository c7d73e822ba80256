//! One file a model family: configuration → [`ModelSpec`].
//!
//! A configuration is Hugging Face's `config.json`. A GGUF file's metadata arrives in the same vocabulary,
//! with `wootz_gguf: true` and what only such a file says: `rope_factors: true` where it holds a
//! `rope_freqs.weight`, `attention_output_bias` where that differs from `attention_bias`.

mod common;
mod llama;
mod mistral;
mod qwen2;
mod qwen3;
mod rope;

use serde_json::Value;

use crate::error::SpecError;
use crate::fields::{Fields, shown};
use crate::spec::ModelSpec;

type Parse = fn(&Fields) -> Result<ModelSpec, SpecError>;

/// Every family. Adding one is a file and a line.
const FAMILIES: [(&str, Parse); 4] = [
    ("LlamaForCausalLM", llama::spec),
    ("MistralForCausalLM", mistral::spec),
    ("Qwen2ForCausalLM", qwen2::spec),
    ("Qwen3ForCausalLM", qwen3::spec),
];

impl ModelSpec {
    /// Reads a `config.json`, or a GGUF file's metadata in the same vocabulary.
    ///
    /// Every number is checked for plausibility, so that no later arithmetic on shapes overflows; what this
    /// program does not do is refused by name.
    pub fn from_config(config: &Value) -> Result<ModelSpec, SpecError> {
        let fields = Fields::root(config)?;
        let named = fields.value("architectures").and_then(|list| list.get(0));
        let name = named.and_then(Value::as_str).ok_or_else(|| fields.missing("architectures"))?;
        let family = FAMILIES.iter().find(|family| family.0 == name);
        let (_, parse) = family.ok_or_else(|| {
            SpecError::unsupported("architectures", shown(&name.into()), supported_architectures())
        })?;
        refuse_quantised_safetensors(&fields)?;
        Ok(ModelSpec { architecture: name.to_owned(), ..parse(&fields)? })
    }
}

/// The architectures that [`ModelSpec::from_config`] reads, for messages.
pub fn supported_architectures() -> String {
    FAMILIES.map(|family| family.0).join(", ")
}

/// Tensors that GPTQ, AWQ, FP8 and others store have other names and shapes: say so before one is missing.
fn refuse_quantised_safetensors(fields: &Fields) -> Result<(), SpecError> {
    let Some(quantisation) = fields.object("quantization_config.")? else { return Ok(()) };
    let method = quantisation.text("quant_method")?.unwrap_or("unnamed");
    Err(SpecError::unsupported(
        "quantization_config.quant_method",
        shown(&method.into()),
        "safetensors in F32, F16 and BF16, and every quantised type in GGUF files",
    ))
}
