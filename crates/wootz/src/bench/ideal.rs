//! The least time that a workload could take on this machine.

use serde::Serialize;
use wootz_backend::Binding;
use wootz_backend::cpu::limits::Limits;
use wootz_backend::cpu::matmul::format::Format;
use wootz_backend::ops::{Op, Program, Projection, Rows};
use wootz_weights::{Tensor, TensorType};

use super::workload::Workload;

/// Operations by the kind of number that they are done on; a multiplication and an addition are two.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Operations {
    int8: f64,
    int16: f64,
    f32: f64,
}

impl Operations {
    /// The time they take at the machine's peak.
    fn seconds(self, limits: &Limits) -> f64 {
        self.int8 / limits.int8 + self.int16 / limits.int16 + self.f32 / limits.f32
    }

    fn add(&mut self, tensor: &Tensor) {
        let operations = 2.0 * tensor.rows() as f64 * tensor.columns() as f64;
        match tensor.kind {
            TensorType::F16 | TensorType::BF16 => self.int16 += operations,
            kind if Format::of(kind, tensor.columns()).is_some() => self.int8 += operations,
            _ => self.f32 += operations,
        }
    }
}

/// What a model's matrices ask of a machine. Attention, norms and the rest are left out: the ideal has none of them.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Of each token.
    token: Operations,
    /// Of each token whose logits are wanted, besides.
    sample: Operations,
    /// Bytes of weights that a step reads.
    weight_bytes: f64,
    /// Bytes of keys and values of one token.
    cache_bytes: f64,
}

/// What keeps the ideal from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Reading weights, keys and values.
    Memory,
    /// Multiplying and adding.
    Arithmetic,
}

/// The least time, and why.
#[derive(Debug, Clone, Copy)]
pub struct Ideal {
    /// Seconds.
    pub seconds: f64,
    /// What bounds it.
    pub bound: Bound,
}

impl Demand {
    /// Of a program's matrices; a step reads `weight_bytes` of them.
    pub fn new(program: &Program, binding: &Binding, weight_bytes: usize) -> Self {
        let (mut token, mut sample) = (Operations::default(), Operations::default());
        let mut add = |projection: &Projection| {
            let tensor = binding.tensor(projection.matrix);
            match program.buffers[projection.out.0].rows {
                Rows::Tokens => token.add(tensor),
                Rows::Samples => sample.add(tensor),
            }
        };
        program.ops.iter().flat_map(Op::projections).for_each(&mut add);
        let cache_bytes = program.cache.page_bytes() as f64 / wootz_backend::step::PAGE_TOKENS as f64;
        Self { token, sample, weight_bytes: weight_bytes as f64, cache_bytes }
    }

    /// The least time of a workload: the longer of computing and reading, which may go on at the same time.
    pub fn ideal(&self, workload: Workload, rows: usize, limits: &Limits) -> Ideal {
        let (tokens, steps) = (workload.tokens() as f64, workload.steps(rows) as f64);
        let samples = match workload {
            Workload::Prompt { .. } => 1.0,
            Workload::Generation { .. } => tokens,
        };
        let arithmetic = tokens * self.token.seconds(limits) + samples * self.sample.seconds(limits);
        // Every step reads the weights once, and each sequence's keys and values: of a generated token those of the
        // context before and half of what is generated on average; of a prompt's chunks those of the context before, and of
        // the chunks before, which is little.
        let depth = workload.depth() as f64;
        let read_tokens = match workload {
            Workload::Prompt { .. } => tokens + steps * depth,
            Workload::Generation { tokens: length, .. } => tokens * (depth + (length as f64 + 1.0) / 2.0),
        };
        let memory = (steps * self.weight_bytes + read_tokens * self.cache_bytes) / limits.read;
        if memory > arithmetic {
            Ideal { seconds: memory, bound: Bound::Memory }
        } else {
            Ideal { seconds: arithmetic, bound: Bound::Arithmetic }
        }
    }
}
