//! The contract between a model and its backends: what to compute, in order, on which buffers.
//!
//! A [`Program`] names no device and no file format. Every op has a scalar twin in `cpu::reference`.

use wootz_spec::{Activation, Norm, Rope, Span, TensorRole};

pub use crate::cache::CacheShape;

/// An activation buffer of the program: `[rows, width]` f32, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buffer(pub usize);

/// A tensor of the model, by its place in [`Program::weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Weight(pub usize);

/// How many rows a buffer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// One a token of the step.
    Tokens,
    /// One a sampled row of the step.
    Samples,
}

/// The shape of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferShape {
    /// Its number of rows.
    pub rows: Rows,
    /// Elements in a row.
    pub width: usize,
}

/// A matrix `[out, in]` with an optional bias `[out]`, applied to rows: `out = input · matrixᵀ + bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// The matrix.
    pub matrix: Weight,
    /// The bias.
    pub bias: Option<Weight>,
    /// Where the result goes.
    pub out: Buffer,
}

/// Heads of one width laid side by side in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// How many.
    pub count: usize,
    /// Elements in each.
    pub dim: usize,
}

impl Heads {
    /// Elements of all heads of a row.
    pub fn width(&self) -> usize {
        self.count * self.dim
    }
}

/// One operation. Buffers written never alias buffers read unless the op says "in place".
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Op {
    /// `out[r] = table[tokens[r]] · scale`.
    Embed { table: Weight, scale: f32, out: Buffer },
    /// `out = norm(input) · (weight + offset)`.
    RmsNorm { input: Buffer, weight: Weight, norm: Norm, out: Buffer },
    /// `residual += input` in place, then `out = norm(residual) · (weight + offset)`.
    AddNorm { residual: Buffer, input: Buffer, weight: Weight, norm: Norm, out: Buffer },
    /// Projections of one input: q, k and v, or a single matrix.
    Project { input: Buffer, projections: Vec<Projection> },
    /// `out = activation(gate(input)) · up(input)`; the projections' own `out`s are scratch of `out`'s width.
    GateUp { input: Buffer, gate: Projection, up: Projection, activation: Activation, out: Buffer },
    /// Each head of `buffer` is normed in place with the one `weight` `[dim]`.
    HeadNorm { buffer: Buffer, heads: Heads, weight: Weight, norm: Norm },
    /// Rotates the heads of q and k in place by each row's position.
    Rope {
        query: Buffer,
        query_heads: Heads,
        key: Buffer,
        key_heads: Heads,
        rope: Rope,
        factors: Option<Weight>,
    },
    /// Writes each row's key and value heads, as f16, in its sequence's page of cache layer `layer`.
    KvWrite { layer: usize, key: Buffer, value: Buffer },
    /// Softmax attention of each row's query heads over its sequence's pages of cache layer `layer`,
    /// up to and with the row's own position.
    Attention {
        layer: usize,
        query: Buffer,
        query_heads: Heads,
        kv_heads: usize,
        scale: f32,
        span: Span,
        out: Buffer,
    },
    /// Each rank's `buffer` becomes the sum of those of all ranks, in place. A device by itself is the only rank: nothing
    /// happens.
    AllReduce { buffer: Buffer },
    /// `out[s] = residual[sample_rows[s]] + input[sample_rows[s]]`: only sampled rows go through the head.
    GatherAdd { residual: Buffer, input: Buffer, out: Buffer },
}

impl Op {
    /// The matrix products that it consists of; none for most ops.
    pub fn projections(&self) -> impl Iterator<Item = &Projection> + Clone {
        let (list, pair) = match self {
            Op::Project { projections, .. } => (projections.as_slice(), None),
            Op::GateUp { gate, up, .. } => (&[][..], Some([gate, up])),
            _ => (&[][..], None),
        };
        list.iter().chain(pair.into_iter().flatten())
    }
}

/// What a model computes in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The ops in order.
    pub ops: Vec<Op>,
    /// The shapes of the buffers that they name.
    pub buffers: Vec<BufferShape>,
    /// The tensors that they name.
    pub weights: Vec<TensorRole>,
    /// The key/value cache that they read and write.
    pub cache: CacheShape,
    /// `[samples, vocab]`: the result.
    pub logits: Buffer,
}
