//! What a program does with its weights, and whether there are kernels for it.

use wootz_backend::ops::{Op, Program, Weight};
use wootz_backend::{BackendError, Binding};

use super::part::Part;
use crate::kernels::embedding::Embed;
use crate::kernels::matrix::MatrixFormat;
use crate::lower::matmul;

/// What a program does with its weights.
#[derive(Debug, Default)]
pub struct Uses {
    /// Rows of it are looked up.
    pub tables: Vec<Weight>,
    /// It is multiplied with.
    pub factors: Vec<Weight>,
    /// It is a vector.
    pub vectors: Vec<Weight>,
}

impl Uses {
    /// Of all weights of a program, each list in order.
    pub fn of(program: &Program) -> Uses {
        let mut uses = Uses::default();
        for op in &program.ops {
            match op {
                Op::Embed { table, .. } => uses.tables.push(*table),
                Op::RmsNorm { weight, .. } | Op::AddNorm { weight, .. } | Op::HeadNorm { weight, .. } => {
                    uses.vectors.push(*weight);
                }
                Op::Project { .. } | Op::GateUp { .. } => {
                    uses.factors.extend(op.projections().map(|projection| projection.matrix));
                    uses.vectors.extend(op.projections().filter_map(|projection| projection.bias));
                }
                Op::Rope { .. } | Op::KvWrite { .. } | Op::Attention { .. } | Op::GatherAdd { .. } => {}
                Op::AllReduce { .. } => {}
            }
        }
        for list in [&mut uses.tables, &mut uses.factors, &mut uses.vectors] {
            list.sort_unstable_by_key(|weight| weight.0);
            list.dedup();
        }
        uses
    }

    /// The weights that are matrices, in order.
    pub fn matrices(&self) -> Vec<Weight> {
        let mut all = [self.tables.as_slice(), &self.factors].concat();
        all.sort_unstable_by_key(|weight| weight.0);
        all.dedup();
        all
    }
}

/// Refuses matrices that no kernel reads.
pub fn check(program: &Program, binding: &Binding) -> Result<(), BackendError> {
    let uses = Uses::of(program);
    let refuse = |part: &Part<'_>, possible: &str| BackendError::NoKernel {
        what: format!("tensor {} {:?} of type {}", part.name(), part.shape(), part.kind()),
        possible: possible.to_owned(),
    };
    let ggml = |format: &MatrixFormat| matches!(format, MatrixFormat::Ggml(_));
    let readable: Vec<String> =
        crate::formats::readable().filter(ggml).map(|format| format.to_string()).collect();
    let possible = format!("matrices of {}", readable.join(", "));
    for weight in uses.matrices() {
        let part = Part::of(binding, weight);
        let format = MatrixFormat::Ggml(part.kind());
        let multiplied = !uses.factors.contains(&weight) || matmul::covers(format, part.columns());
        let looked_up = !uses.tables.contains(&weight) || Embed::reads(format);
        if part.shape().len() != 2 || !multiplied || !looked_up {
            return Err(refuse(&part, &possible));
        }
    }
    Ok(())
}
