//! The role of every tensor, and its name in each naming scheme.

/// What a tensor is for, whatever a checkpoint calls it. Matrices are `[out, in]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TensorRole {
    /// `[vocab, dim]`.
    TokenEmbedding,
    /// `[dim]`.
    FinalNorm,
    /// `[vocab, dim]`; the embedding table where the head is tied.
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
