//! A program as phases: what all threads finish before any goes on.
//!
//! Ops that work on rows alone are fused while their rows are the same: embedding, rotation angles, norms and the
//! conversion of a row to what the next matrices read are one phase. Everything between the projections and the
//! attention of a layer (head norms, rotation, cache) is one more.

use wootz_spec::{Activation, Norm, Rope};

use super::attention::AttentionShape;
use crate::ops::{Buffer, Heads, Op, Program, Projection, Rows, Weight};
use wootz_spec::Span;

/// What is done to one row.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum RowOp {
    /// `out = table[token] · scale`.
    Embed { table: Weight, scale: f32, out: Buffer },
    /// The cosines and sines of the row's position, for every rotation of the model.
    Angles,
    /// `out = norm(input)`.
    Norm { input: Buffer, norm: usize, out: Buffer },
    /// `residual += input; out = norm(residual)`.
    AddNorm { residual: Buffer, input: Buffer, norm: usize, out: Buffer },
    /// `out = residual[sampled row] + input[sampled row]`.
    GatherAdd { residual: Buffer, input: Buffer, out: Buffer },
    /// The row in the forms that the matrices want that read it next.
    Convert { input: Buffer, readers: Vec<Weight> },
}

/// What is done to the query, key and value heads of a row before attention.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeadOps {
    /// Norm of the query heads.
    pub query_norm: Option<usize>,
    /// Norm of the key heads.
    pub key_norm: Option<usize>,
    /// Which of the model's rotations.
    pub rope: Option<usize>,
    /// The key and value buffers to write to the cache.
    pub write: Option<(Buffer, Buffer)>,
}

/// Attention of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionPhase {
    /// The layer's place in the cache.
    pub layer: usize,
    /// Its shape.
    pub shape: AttentionShape,
    /// `[rows][heads · head_dim]`.
    pub query: Buffer,
    /// `[rows][heads · head_dim]`.
    pub out: Buffer,
    /// What comes before.
    pub before: HeadOps,
}

/// What all threads do between two barriers.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Phase {
    /// Some ops on each row.
    Rows(Rows, Vec<RowOp>),
    /// Matrices that read the converted input.
    Project(Rows, Vec<Projection>),
    /// `gate = activation(gate(input)) · up(input)`.
    GateUp { gate: Projection, up: Projection, activation: Activation },
    /// Attention, and what comes before it.
    Attention(AttentionPhase),
}

/// A program's phases, and what they refer to by number.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Phases {
    /// The phases in order.
    pub phases: Vec<Phase>,
    /// The norms' weights.
    pub norms: Vec<(Weight, Norm)>,
    /// The different rotations.
    pub ropes: Vec<(Rope, Option<Weight>)>,
    /// Buffers that only row ops write: `[buffer]`.
    pub row_buffers: Vec<bool>,
}

impl Phases {
    /// The phases of `program`.
    pub fn new(program: &Program) -> Self {
        let mut phases = Self { row_buffers: vec![true; program.buffers.len()], ..Self::default() };
        let mut before = HeadOps::default();
        let mut key_buffer = None;
        for (index, op) in program.ops.iter().enumerate() {
            match op {
                Op::HeadNorm { buffer, weight, norm, .. } => {
                    let number = phases.norm(*weight, *norm);
                    let is_key = program.ops[index..].iter().find_map(rotated_key) == Some(*buffer);
                    *(if is_key { &mut before.key_norm } else { &mut before.query_norm }) = Some(number);
                }
                Op::Rope { rope, factors, key, .. } => {
                    before.rope = Some(phases.rope(rope, *factors));
                    key_buffer = Some(*key);
                }
                Op::KvWrite { key, value, .. } => {
                    debug_assert!(key_buffer.is_none_or(|rotated| rotated == *key));
                    before.write = Some((*key, *value));
                }
                Op::Attention { layer, query, query_heads, kv_heads, scale, span, out } => {
                    let shape = attention_shape(*query_heads, *kv_heads, *scale, *span);
                    phases.row_buffers[out.0] = false;
                    let (layer, query, out) = (*layer, *query, *out);
                    let before = std::mem::take(&mut before);
                    phases.phases.push(Phase::Attention(AttentionPhase { layer, shape, query, out, before }));
                }
                _ => phases.push(op, program),
            }
        }
        phases
    }

    fn push(&mut self, op: &Op, program: &Program) {
        let rows_of = |buffer: Buffer| program.buffers[buffer.0].rows;
        match op {
            &Op::Embed { table, scale, out } => {
                self.row(rows_of(out), RowOp::Embed { table, scale, out });
                self.row(rows_of(out), RowOp::Angles);
            }
            &Op::RmsNorm { input, weight, norm, out } => {
                let norm = self.norm(weight, norm);
                self.row(rows_of(out), RowOp::Norm { input, norm, out });
            }
            &Op::AddNorm { residual, input, weight, norm, out } => {
                let norm = self.norm(weight, norm);
                self.row(rows_of(out), RowOp::AddNorm { residual, input, norm, out });
            }
            &Op::GatherAdd { residual, input, out } => {
                self.row(rows_of(out), RowOp::GatherAdd { residual, input, out });
            }
            Op::Project { input, projections } => {
                let readers = projections.iter().map(|projection| projection.matrix).collect();
                self.row(rows_of(*input), RowOp::Convert { input: *input, readers });
                for projection in projections {
                    self.row_buffers[projection.out.0] = false;
                }
                self.phases.push(Phase::Project(rows_of(*input), projections.clone()));
            }
            Op::GateUp { input, gate, up, activation, out } => {
                let readers = vec![gate.matrix, up.matrix];
                self.row(rows_of(*input), RowOp::Convert { input: *input, readers });
                self.row_buffers[out.0] = false;
                let gate = Projection { out: *out, ..*gate };
                self.phases.push(Phase::GateUp { gate, up: *up, activation: *activation });
            }
            // The only rank of a group of one.
            Op::AllReduce { .. } => {}
            Op::HeadNorm { .. } | Op::Rope { .. } | Op::KvWrite { .. } | Op::Attention { .. } => {
                unreachable!("ops of the heads are taken before")
            }
        }
    }

    /// Adds a row op to the phase before it, where that is of the same rows.
    fn row(&mut self, rows: Rows, op: RowOp) {
        match self.phases.last_mut() {
            Some(Phase::Rows(last, ops)) if *last == rows => ops.push(op),
            _ => self.phases.push(Phase::Rows(rows, vec![op])),
        }
    }

    fn norm(&mut self, weight: Weight, norm: Norm) -> usize {
        number(&mut self.norms, (weight, norm))
    }

    fn rope(&mut self, rope: &Rope, factors: Option<Weight>) -> usize {
        number(&mut self.ropes, (rope.clone(), factors))
    }
}

/// The place of `item` in `items`, where it is added if it is not yet there.
fn number<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|known| *known == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

fn rotated_key(op: &Op) -> Option<Buffer> {
    match op {
        Op::Rope { key, .. } | Op::KvWrite { key, .. } => Some(*key),
        _ => None,
    }
}

fn attention_shape(heads: Heads, kv_heads: usize, scale: f32, span: Span) -> AttentionShape {
    let window = match span {
        Span::Full => usize::MAX,
        Span::Window(tokens) => tokens,
    };
    AttentionShape { heads: heads.count, kv_heads, head_dim: heads.dim, scale, window }
}
