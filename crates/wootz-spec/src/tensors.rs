//! The role of every tensor, its name in each naming scheme, and the shape that a model gives it.

use crate::spec::{Attention, Ffn, Head, Mixer, ModelSpec, RopeScaling};

/// What a tensor is for, whatever a checkpoint calls it. Matrices are `[out, in]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TensorRole {
    /// `[vocab, dim]`.
    TokenEmbedding,
    /// `[dim]`.
    FinalNorm,
    /// `[vocab, dim]`; a tied head has none and uses [`TensorRole::TokenEmbedding`].
    Output,
    /// `[rope dims / 2]`: divisors of the rotary frequencies.
    RopeFactors,
    /// A tensor of one layer.
    Layer(usize, LayerRole),
}

/// What a layer's tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LayerRole {
    MixerNorm,
    Query,
    QueryBias,
    Key,
    KeyBias,
    Value,
    ValueBias,
    QueryNorm,
    KeyNorm,
    AttentionOutput,
    AttentionOutputBias,
    FfnNorm,
    Gate,
    GateBias,
    Up,
    UpBias,
    Down,
    DownBias,
}

/// How a checkpoint names its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// `model.layers.0.self_attn.q_proj.weight`.
    HuggingFace,
    /// `blk.0.attn_q.weight`.
    Gguf,
}

/// Role, Hugging Face name, GGUF name. `RopeFactors` exist in GGUF files only: Hugging Face's say the same in
/// their configuration.
const GLOBAL_NAMES: [(TensorRole, &str, &str); 4] = [
    (TensorRole::TokenEmbedding, "model.embed_tokens.weight", "token_embd.weight"),
    (TensorRole::FinalNorm, "model.norm.weight", "output_norm.weight"),
    (TensorRole::Output, "lm_head.weight", "output.weight"),
    (TensorRole::RopeFactors, "rope_freqs.weight", "rope_freqs.weight"),
];

/// Role, Hugging Face name after `model.layers.N.`, GGUF name after `blk.N.`.
const LAYER_NAMES: [(LayerRole, &str, &str); 18] = [
    (LayerRole::MixerNorm, "input_layernorm.weight", "attn_norm.weight"),
    (LayerRole::Query, "self_attn.q_proj.weight", "attn_q.weight"),
    (LayerRole::QueryBias, "self_attn.q_proj.bias", "attn_q.bias"),
    (LayerRole::Key, "self_attn.k_proj.weight", "attn_k.weight"),
    (LayerRole::KeyBias, "self_attn.k_proj.bias", "attn_k.bias"),
    (LayerRole::Value, "self_attn.v_proj.weight", "attn_v.weight"),
    (LayerRole::ValueBias, "self_attn.v_proj.bias", "attn_v.bias"),
    (LayerRole::QueryNorm, "self_attn.q_norm.weight", "attn_q_norm.weight"),
    (LayerRole::KeyNorm, "self_attn.k_norm.weight", "attn_k_norm.weight"),
    (LayerRole::AttentionOutput, "self_attn.o_proj.weight", "attn_output.weight"),
    (LayerRole::AttentionOutputBias, "self_attn.o_proj.bias", "attn_output.bias"),
    (LayerRole::FfnNorm, "post_attention_layernorm.weight", "ffn_norm.weight"),
    (LayerRole::Gate, "mlp.gate_proj.weight", "ffn_gate.weight"),
    (LayerRole::GateBias, "mlp.gate_proj.bias", "ffn_gate.bias"),
    (LayerRole::Up, "mlp.up_proj.weight", "ffn_up.weight"),
    (LayerRole::UpBias, "mlp.up_proj.bias", "ffn_up.bias"),
    (LayerRole::Down, "mlp.down_proj.weight", "ffn_down.weight"),
    (LayerRole::DownBias, "mlp.down_proj.bias", "ffn_down.bias"),
];

impl TensorRole {
    /// The tensor's name in a checkpoint of this naming scheme.
    pub fn name(&self, naming: Naming) -> String {
        let pick = |hugging_face: &'static str, gguf: &'static str| match naming {
            Naming::HuggingFace => hugging_face,
            Naming::Gguf => gguf,
        };
        let in_table = match *self {
            TensorRole::Layer(layer, role) => LAYER_NAMES
                .iter()
                .find(|row| row.0 == role)
                .map(|row| format!("{}.{layer}.{}", pick("model.layers", "blk"), pick(row.1, row.2))),
            global => {
                GLOBAL_NAMES.iter().find(|row| row.0 == global).map(|row| pick(row.1, row.2).to_owned())
            }
        };
        in_table.expect("every role is in its table: tested")
    }
}

impl ModelSpec {
    /// The shape of this model's tensor of a role, slowest dimension first; `None` where it has no such tensor.
    pub fn tensor_shape(&self, role: TensorRole) -> Option<Vec<usize>> {
        match role {
            TensorRole::TokenEmbedding => Some(vec![self.vocab, self.dim]),
            TensorRole::FinalNorm => Some(vec![self.dim]),
            TensorRole::Output => (self.head == Head::Separate).then(|| vec![self.vocab, self.dim]),
            TensorRole::RopeFactors => self.layers.iter().find_map(|layer| match &layer.mixer {
                Mixer::Attention(attention) => {
                    (attention.rope.scaling == RopeScaling::Factors).then(|| vec![attention.rope.dims / 2])
                }
            }),
            TensorRole::Layer(index, role) => {
                let layer = self.layers.get(index)?;
                let Mixer::Attention(attention) = &layer.mixer;
                layer_shape(role, self.dim, attention, &layer.ffn)
            }
        }
    }

    /// Every tensor that this model is made of: what a checkpoint has to hold.
    pub fn tensors(&self) -> impl Iterator<Item = TensorRole> + '_ {
        let globals = GLOBAL_NAMES.iter().map(|row| row.0);
        let of_layer = |layer| LAYER_NAMES.iter().map(move |row| TensorRole::Layer(layer, row.0));
        globals
            .chain((0..self.layers.len()).flat_map(of_layer))
            .filter(|&role| self.tensor_shape(role).is_some())
    }

    /// How many weights the model has, a tied head counted once.
    pub fn parameters(&self) -> u64 {
        let elements = |shape: Vec<usize>| shape.into_iter().map(|extent| extent as u64).product::<u64>();
        self.tensors().filter_map(|role| self.tensor_shape(role)).map(elements).sum()
    }
}

fn layer_shape(role: LayerRole, dim: usize, attention: &Attention, ffn: &Ffn) -> Option<Vec<usize>> {
    use LayerRole::*;
    let query = attention.heads * attention.head_dim;
    let key = attention.kv_heads * attention.head_dim;
    let Ffn::Dense { hidden, bias, .. } = *ffn;
    match role {
        MixerNorm | FfnNorm => Some(vec![dim]),
        Query => Some(vec![query, dim]),
        Key | Value => Some(vec![key, dim]),
        AttentionOutput => Some(vec![dim, query]),
        QueryBias => attention.qkv_bias.then(|| vec![query]),
        KeyBias | ValueBias => attention.qkv_bias.then(|| vec![key]),
        AttentionOutputBias => attention.output_bias.then(|| vec![dim]),
        QueryNorm | KeyNorm => attention.qk_norm.map(|_| vec![attention.head_dim]),
        Gate | Up => Some(vec![hidden, dim]),
        Down => Some(vec![dim, hidden]),
        GateBias | UpBias => bias.then(|| vec![hidden]),
        DownBias => bias.then(|| vec![dim]),
    }
}
