//! What a decoder-only model *is*, independent of checkpoint format and of backend.
//!
//! Everything is decided here once: later code matches exhaustively on these types and never looks at a
//! configuration file again. Widths are counts of elements, positions are counts of tokens.

/// A whole model: embed → layers → norm → head.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The architecture's name as the checkpoint gives it, for messages only.
    pub architecture: String,
    /// Width of the residual stream.
    pub dim: usize,
    /// Rows of the embedding table and of the head.
    pub vocab: usize,
    /// The longest context the model was made for, in tokens.
    pub context: usize,
    /// Factor on every embedding row.
    pub embed_scale: f32,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// The norm before the head.
    pub final_norm: Norm,
    /// How hidden states become logits.
    pub head: Head,
}

/// `x += mixer(pre(x)); x += ffn(pre(x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What mixes tokens.
    pub mixer: Mixer,
    /// What works on each token alone.
    pub ffn: Ffn,
    /// The norm before the mixer.
    pub mixer_norm: Norm,
    /// The norm before the feed-forward block.
    pub ffn_norm: Norm,
}

/// Root-mean-square norm: `x · rsqrt(mean(x²) + eps) · (weight + weight_offset)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the stored weight (Gemma stores `w - 1`).
    pub weight_offset: f32,
}

/// What mixes tokens in a layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixer {
    /// Softmax attention with grouped queries.
    Attention(Attention),
}

/// Grouped-query softmax attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on `q · k`.
    pub scale: f32,
    /// Rotary position embedding of q and k.
    pub rope: Rope,
    /// How far back a token looks.
    pub span: Span,
    /// Norm of each q and k head before the rotation (Qwen3).
    pub qk_norm: Option<Norm>,
    /// Whether the q, k and v projections have a bias.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
}

/// How far back a token may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// At every token before it, and itself.
    Full,
    /// At itself and the `n - 1` tokens before it.
    Window(usize),
}

/// Rotary position embedding (Su et al. 2021).
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// The base: pair `i` of `dims / 2` turns by `position · theta^(-2i / dims)`.
    pub theta: f32,
    /// How many leading elements of a head are rotated (even).
    pub dims: usize,
    /// Which elements form a pair.
    pub pairing: RopePairing,
    /// How the frequencies are stretched for long contexts.
    pub scaling: RopeScaling,
}

/// Which two elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// `(i, i + dims / 2)`: Hugging Face's layout.
    Halves,
    /// `(2i, 2i + 1)`: the layout that GGUF's llama files are permuted to.
    Interleaved,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by the factor.
    Linear(f32),
    /// Llama 3.1's smooth split between low and high frequencies.
    Llama3 {
        /// Divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original / low` are divided fully.
        low: f32,
        /// Wavelengths below `original / high` are kept.
        high: f32,
        /// The context before stretching, in tokens.
        original: usize,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// Divisor of the interpolated frequencies.
        factor: f32,
        /// Number of rotations above which a frequency is kept.
        beta_fast: f32,
        /// Number of rotations below which a frequency is fully interpolated.
        beta_slow: f32,
        /// Where between the two the mixing begins and ends.
        bounds: YarnBounds,
        /// Factor on cos and sin.
        attention_factor: f32,
        /// The context before stretching, in tokens.
        original: usize,
    },
    /// Each pair's frequency divided by the checkpoint's own factor (GGUF's `rope_freqs.weight`).
    Factors,
}

/// Which pairs YaRN takes as the first and last that it mixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YarnBounds {
    /// The whole pairs around the exact bounds: what nearly every model was trained with.
    Whole,
    /// The exact bounds, between two pairs (`truncate: false`).
    Fractional,
}

/// What works on each token alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Ffn {
    /// `down(act(gate(x)) · up(x))`.
    Dense {
        /// Width between the projections.
        hidden: usize,
        /// The gate's activation.
        activation: Activation,
        /// Whether the three projections have biases.
        bias: bool,
    },
}

/// An elementwise activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
}

/// How hidden states become logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// By the embedding table.
    Tied,
    /// By a matrix of its own.
    Separate,
}
