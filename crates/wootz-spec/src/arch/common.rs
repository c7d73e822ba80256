//! What the llama-like families share: the same fields with the same meaning, other defaults.

use std::ops::RangeInclusive;

use super::rope;
use crate::error::SpecError;
use crate::fields::{Fields, shown};
use crate::spec::{Activation, Attention, Ffn, Head, Layer, Mixer, ModelSpec, Norm, RopePairing, Span};

// Bounds far above any real model, and low enough that no product of two of them overflows 64 bits.
const WIDTHS: RangeInclusive<usize> = 1..=1 << 20;
const HIDDEN: RangeInclusive<usize> = 1..=1 << 22;
const VOCABULARY: RangeInclusive<usize> = 1..=1 << 24;
const LAYERS: RangeInclusive<usize> = 1..=1 << 12;
const HEADS: RangeInclusive<usize> = 1..=1 << 12;
const HEAD_WIDTHS: RangeInclusive<usize> = 2..=1 << 12;
const CONTEXTS: RangeInclusive<usize> = 1..=1 << 30;

/// What a family takes where the configuration is silent. The values are those of its Transformers class.
pub(super) struct Defaults {
    /// `max_position_embeddings`.
    pub context: usize,
    /// `num_key_value_heads`; as many as there are query heads for `None`.
    pub kv_heads: Option<usize>,
    /// `head_dim`; `hidden_size / num_attention_heads` for `None`.
    pub head_dim: Option<usize>,
}

/// How a configuration's checkpoint was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// By Transformers.
    HuggingFace,
    /// By a converter to GGUF.
    Gguf,
}

/// Which projections of a layer have biases.
#[derive(Default)]
pub(super) struct Biases {
    pub qkv: bool,
    pub attention_output: bool,
    pub ffn: bool,
}

/// The numbers of a llama-like model, read and checked.
pub(super) struct Common {
    pub origin: Origin,
    pub layers: usize,
    dim: usize,
    hidden: usize,
    vocab: usize,
    context: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    norm: Norm,
    head: Head,
}

impl Common {
    pub fn read(fields: &Fields, defaults: Defaults) -> Result<Common, SpecError> {
        let required = |field, range| fields.count(field, range)?.ok_or_else(|| fields.missing(field));
        let origin = match fields.flag("wootz_gguf")? {
            Some(true) => Origin::Gguf,
            _ => Origin::HuggingFace,
        };
        let dim = required("hidden_size", WIDTHS)?;
        let heads = required("num_attention_heads", HEADS)?;
        Ok(Common {
            origin,
            layers: required("num_hidden_layers", LAYERS)?,
            dim,
            hidden: required("intermediate_size", HIDDEN)?,
            vocab: required("vocab_size", VOCABULARY)?,
            context: fields.count("max_position_embeddings", CONTEXTS)?.unwrap_or(defaults.context),
            heads,
            kv_heads: kv_heads(fields, origin, heads, defaults.kv_heads)?,
            head_dim: head_dim(fields, origin, dim, heads, defaults.head_dim)?,
            norm: Norm {
                eps: fields.number("rms_norm_eps", 0.0..=1.0)?.unwrap_or(1e-6) as f32,
                weight_offset: 0.0,
            },
            head: match fields.flag("tie_word_embeddings")? {
                Some(true) => Head::Tied,
                _ => Head::Separate,
            },
        })
    }

    /// The norm of every layer.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// Attention at everything, without biases or head norms.
    pub fn attention(&self, fields: &Fields, pairing: RopePairing) -> Result<Attention, SpecError> {
        Ok(Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: (self.head_dim as f64).powf(-0.5) as f32,
            rope: rope::read(fields, pairing, self.head_dim, self.context)?,
            span: Span::Full,
            qk_norm: None,
            qkv_bias: false,
            output_bias: false,
        })
    }

    /// The whole model: layers that differ in their span only.
    pub fn model(
        &self,
        fields: &Fields,
        attention: Attention,
        biases: Biases,
        spans: Vec<Span>,
    ) -> Result<ModelSpec, SpecError> {
        let ffn = Ffn::Dense { hidden: self.hidden, activation: activation(fields)?, bias: biases.ffn };
        let attention = Attention { qkv_bias: biases.qkv, output_bias: biases.attention_output, ..attention };
        let layer = |span| Layer {
            mixer: Mixer::Attention(Attention { span, ..attention.clone() }),
            ffn: ffn.clone(),
            mixer_norm: self.norm,
            ffn_norm: self.norm,
        };
        Ok(ModelSpec {
            architecture: String::new(),
            dim: self.dim,
            vocab: self.vocab,
            context: self.context,
            embed_scale: 1.0,
            layers: spans.into_iter().map(layer).collect(),
            final_norm: self.norm,
            head: self.head,
        })
    }
}

/// `sliding_window`, a count of tokens.
pub(super) fn window(fields: &Fields) -> Result<Option<Span>, SpecError> {
    Ok(fields.count("sliding_window", CONTEXTS)?.map(Span::Window))
}

/// The bias flags as llama-like configurations spell them.
pub(super) fn biases(fields: &Fields, origin: Origin) -> Result<Biases, SpecError> {
    let attention = fields.flag("attention_bias")?.unwrap_or(false);
    // A GGUF file may hold biases of q, k and v alone; Transformers has one flag for all four.
    let output = match origin {
        Origin::HuggingFace => None,
        Origin::Gguf => fields.flag("attention_output_bias")?,
    };
    Ok(Biases {
        qkv: attention,
        attention_output: output.unwrap_or(attention),
        ffn: fields.flag("mlp_bias")?.unwrap_or(false),
    })
}

fn kv_heads(
    fields: &Fields,
    origin: Origin,
    heads: usize,
    default: Option<usize>,
) -> Result<usize, SpecError> {
    const FIELD: &str = "num_key_value_heads";
    let absent = || match origin {
        Origin::HuggingFace if !fields.is_written(FIELD) => default.unwrap_or(heads),
        _ => heads,
    };
    let kv_heads = fields.count(FIELD, HEADS)?.unwrap_or_else(absent);
    if !heads.is_multiple_of(kv_heads) {
        return Err(SpecError::invalid(
            FIELD,
            kv_heads,
            format!("a divisor of num_attention_heads = {heads}"),
        ));
    }
    Ok(kv_heads)
}

fn head_dim(
    fields: &Fields,
    origin: Origin,
    dim: usize,
    heads: usize,
    default: Option<usize>,
) -> Result<usize, SpecError> {
    const FIELD: &str = "head_dim";
    let default = default.filter(|_| origin == Origin::HuggingFace);
    let head_dim = match fields.count(FIELD, HEAD_WIDTHS)?.or(default) {
        Some(head_dim) => head_dim,
        None if dim.is_multiple_of(heads) && HEAD_WIDTHS.contains(&(dim / heads)) => dim / heads,
        None => {
            let expected = format!(
                "num_attention_heads = {heads} times 2 to {}, as head_dim is absent",
                HEAD_WIDTHS.end()
            );
            return Err(SpecError::invalid("hidden_size", dim, expected));
        }
    };
    if !head_dim.is_multiple_of(2) {
        return Err(SpecError::invalid(FIELD, head_dim, "even, as rotary position embedding turns pairs"));
    }
    Ok(head_dim)
}

fn activation(fields: &Fields) -> Result<Activation, SpecError> {
    match fields.text("hidden_act")? {
        // Two names of one function.
        None | Some("silu" | "swish") => Ok(Activation::Silu),
        Some(other) => Err(SpecError::unsupported("hidden_act", shown(&other.into()), "silu")),
    }
}
