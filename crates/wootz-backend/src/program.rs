//! A model's forward pass, written out: [`ModelSpec`] → [`Program`].

use std::collections::BTreeMap;

use wootz_spec::{Attention, Ffn, Head, LayerRole, Mixer, ModelSpec, Norm, RopeScaling, TensorRole};

use crate::ops::{Buffer, BufferShape, CacheShape, Heads, Op, Program, Projection, Rows, Weight};
use crate::shard::Shard;

/// The ops of one step of `spec`: embed, layers, norm, head.
///
/// The residual stream is one buffer from the embedding to the head. Adding a block's output to it and
/// norming it for the next block is one op; after the last block only the sampled rows go on.
pub fn program(spec: &ModelSpec) -> Program {
    shard_program(spec, &Shard::whole(spec))
}

/// What one rank computes of a step: its heads and its part of the feed-forward width, of which the ranks add up the
/// results, and all of the rest.
pub fn shard_program(spec: &ModelSpec, shard: &Shard) -> Program {
    let mut build = Builder::new(shard);
    let residual = build.buffer(Rows::Tokens, spec.dim);
    let normed = build.buffer(Rows::Tokens, spec.dim);
    let delta = build.buffer(Rows::Tokens, spec.dim);
    let sampled = build.buffer(Rows::Samples, spec.dim);
    let sampled_normed = build.buffer(Rows::Samples, spec.dim);
    let logits = build.buffer(Rows::Samples, spec.vocab);

    let table = build.weight(TensorRole::TokenEmbedding);
    build.ops.push(Op::Embed { table, scale: spec.embed_scale, out: residual });
    for (index, layer) in spec.layers.iter().enumerate() {
        let weight = build.layer_weight(index, LayerRole::MixerNorm);
        build.ops.push(match index {
            0 => Op::RmsNorm { input: residual, weight, norm: layer.mixer_norm, out: normed },
            _ => Op::AddNorm { residual, input: delta, weight, norm: layer.mixer_norm, out: normed },
        });
        match &layer.mixer {
            Mixer::Attention(attention) => build.attention(index, attention, normed, delta),
        }
        let weight = build.layer_weight(index, LayerRole::FfnNorm);
        build.ops.push(Op::AddNorm { residual, input: delta, weight, norm: layer.ffn_norm, out: normed });
        build.ffn(index, &layer.ffn, normed, delta);
    }
    build.ops.push(Op::GatherAdd { residual, input: delta, out: sampled });
    build.norm(TensorRole::FinalNorm, spec.final_norm, sampled, sampled_normed);
    let head = build.weight(match spec.head {
        Head::Tied => TensorRole::TokenEmbedding,
        Head::Separate => TensorRole::Output,
    });
    build.project(sampled_normed, vec![Projection { matrix: head, bias: None, out: logits }]);

    Program {
        ops: build.ops,
        buffers: build.buffers,
        weights: build.weights,
        cache: shard_cache_shape(spec, shard),
        logits,
    }
}

/// The cache that `spec` needs. Every family has the same heads in all layers.
pub fn cache_shape(spec: &ModelSpec) -> CacheShape {
    let (kv_heads, head_dim) = match spec.layers.first().map(|layer| &layer.mixer) {
        Some(Mixer::Attention(attention)) => (attention.kv_heads, attention.head_dim),
        None => (0, 0),
    };
    CacheShape { layers: spec.layers.len(), kv_heads, head_dim }
}

/// The cache that one rank needs.
fn shard_cache_shape(spec: &ModelSpec, shard: &Shard) -> CacheShape {
    let whole = cache_shape(spec);
    CacheShape { kv_heads: shard.heads(whole.kv_heads).len(), ..whole }
}

/// Collects ops, and gives buffers and weights their numbers.
struct Builder<'a> {
    shard: &'a Shard,
    ops: Vec<Op>,
    buffers: Vec<BufferShape>,
    weights: Vec<TensorRole>,
    weight_numbers: BTreeMap<TensorRole, Weight>,
    /// Buffers that live within one block, shared by all layers of the same widths.
    scratch: BTreeMap<(&'static str, usize), Buffer>,
}

impl<'a> Builder<'a> {
    fn new(shard: &'a Shard) -> Self {
        let (ops, buffers, weights) = (Vec::new(), Vec::new(), Vec::new());
        let (weight_numbers, scratch) = (BTreeMap::new(), BTreeMap::new());
        Self { shard, ops, buffers, weights, weight_numbers, scratch }
    }

    /// Query, key and value projections, head norms, rotation, cache, softmax attention, output projection.
    fn attention(&mut self, layer: usize, attention: &Attention, input: Buffer, out: Buffer) {
        use LayerRole::*;
        let heads = |all| Heads { count: self.shard.heads(all).len(), dim: attention.head_dim };
        let (query_heads, key_heads) = (heads(attention.heads), heads(attention.kv_heads));
        let query = self.scratch("query", query_heads.width());
        let key = self.scratch("key", key_heads.width());
        let value = self.scratch("value", key_heads.width());
        let mixed = self.scratch("mixed", query_heads.width());

        let projections = vec![
            self.projection(layer, Query, attention.qkv_bias.then_some(QueryBias), query),
            self.projection(layer, Key, attention.qkv_bias.then_some(KeyBias), key),
            self.projection(layer, Value, attention.qkv_bias.then_some(ValueBias), value),
        ];
        self.project(input, projections);
        if let Some(norm) = attention.qk_norm {
            let weight = self.layer_weight(layer, QueryNorm);
            self.ops.push(Op::HeadNorm { buffer: query, heads: query_heads, weight, norm });
            let weight = self.layer_weight(layer, KeyNorm);
            self.ops.push(Op::HeadNorm { buffer: key, heads: key_heads, weight, norm });
        }
        let factors = match attention.rope.scaling {
            RopeScaling::Factors => Some(self.weight(TensorRole::RopeFactors)),
            _ => None,
        };
        let rope = attention.rope.clone();
        self.ops.push(Op::Rope { query, query_heads, key, key_heads, rope, factors });
        self.ops.push(Op::KvWrite { layer, key, value });
        self.ops.push(Op::Attention {
            layer,
            query,
            query_heads,
            kv_heads: key_heads.count,
            scale: attention.scale,
            span: attention.span,
            out: mixed,
        });
        let bias = attention.output_bias && self.shard.adds_bias();
        let output = self.projection(layer, AttentionOutput, bias.then_some(AttentionOutputBias), out);
        self.project(mixed, vec![output]);
        self.all_reduce(out);
    }

    /// Gate and up projections, activation, down projection.
    fn ffn(&mut self, layer: usize, ffn: &Ffn, input: Buffer, out: Buffer) {
        use LayerRole::*;
        match *ffn {
            Ffn::Dense { hidden: _, activation, bias } => {
                let hidden = self.shard.hidden(layer).len();
                let (gated, raised) = (self.scratch("gate", hidden), self.scratch("up", hidden));
                let product = self.scratch("gate x up", hidden);
                let gate = self.projection(layer, Gate, bias.then_some(GateBias), gated);
                let up = self.projection(layer, Up, bias.then_some(UpBias), raised);
                self.ops.push(Op::GateUp { input, gate, up, activation, out: product });
                let bias = bias && self.shard.adds_bias();
                let down = self.projection(layer, Down, bias.then_some(DownBias), out);
                self.project(product, vec![down]);
                self.all_reduce(out);
            }
        }
    }

    /// Adds up what the ranks have made of a block.
    fn all_reduce(&mut self, buffer: Buffer) {
        if self.shard.ranks() > 1 {
            self.ops.push(Op::AllReduce { buffer });
        }
    }

    fn norm(&mut self, role: TensorRole, norm: Norm, input: Buffer, out: Buffer) {
        let weight = self.weight(role);
        self.ops.push(Op::RmsNorm { input, weight, norm, out });
    }

    fn project(&mut self, input: Buffer, projections: Vec<Projection>) {
        self.ops.push(Op::Project { input, projections });
    }

    fn projection(
        &mut self,
        layer: usize,
        matrix: LayerRole,
        bias: Option<LayerRole>,
        out: Buffer,
    ) -> Projection {
        let matrix = self.layer_weight(layer, matrix);
        Projection { matrix, bias: bias.map(|role| self.layer_weight(layer, role)), out }
    }

    fn layer_weight(&mut self, layer: usize, role: LayerRole) -> Weight {
        self.weight(TensorRole::Layer(layer, role))
    }

    fn weight(&mut self, role: TensorRole) -> Weight {
        *self.weight_numbers.entry(role).or_insert_with(|| {
            self.weights.push(role);
            Weight(self.weights.len() - 1)
        })
    }

    fn buffer(&mut self, rows: Rows, width: usize) -> Buffer {
        self.buffers.push(BufferShape { rows, width });
        Buffer(self.buffers.len() - 1)
    }

    fn scratch(&mut self, purpose: &'static str, width: usize) -> Buffer {
        if let Some(&buffer) = self.scratch.get(&(purpose, width)) {
            return buffer;
        }
        let buffer = self.buffer(Rows::Tokens, width);
        self.scratch.insert((purpose, width), buffer);
        buffer
    }
}
