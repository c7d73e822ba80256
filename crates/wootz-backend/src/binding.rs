//! A checkpoint's tensors, found by role and checked against the model's shapes.

use std::ops::Range;

use wootz_spec::{ModelSpec, Naming, TensorRole};
use wootz_weights::{Checkpoint, CheckpointFormat, Tensor};

use crate::error::BackendError;
use crate::ops::{Program, Weight};
use crate::shard::{Cut, Shard};

/// The tensors of a program, in the order of [`Program::weights`].
#[derive(Debug, Clone)]
pub struct Binding {
    tensors: Vec<Tensor>,
    /// For those of which a rank has some columns only: which.
    columns: Vec<Option<Range<usize>>>,
}

impl Binding {
    /// Finds every tensor of `program`, and checks that it has the shape that `spec` gives it.
    pub fn new(
        spec: &ModelSpec,
        program: &Program,
        checkpoint: &Checkpoint,
    ) -> Result<Binding, BackendError> {
        Binding::of_shard(spec, program, checkpoint, &Shard::whole(spec))
    }

    /// The same for what one rank computes.
    pub fn of_shard(
        spec: &ModelSpec,
        program: &Program,
        checkpoint: &Checkpoint,
        shard: &Shard,
    ) -> Result<Binding, BackendError> {
        let (mut tensors, mut columns) = (Vec::new(), Vec::new());
        for &role in &program.weights {
            let whole = tensor(spec, checkpoint, role)?;
            let (part, range) = match shard.cut(spec, role) {
                Cut::Whole => (Some(whole.clone()), None),
                Cut::Outputs(range) => (whole.part(range), None),
                Cut::Inputs(range) => (Some(whole.clone()), Some(range)),
            };
            tensors.push(part.ok_or_else(|| BackendError::Division {
                ranks: shard.ranks(),
                reason: format!("{} is not stored so that a part of it could be read", whole.name),
            })?);
            columns.push(range);
        }
        Ok(Binding { tensors, columns })
    }

    /// A program's tensor: of one that a rank has some rows of, those rows.
    pub fn tensor(&self, weight: Weight) -> &Tensor {
        &self.tensors[weight.0]
    }

    /// The columns of a program's tensor that the rank has, where it has not all; they begin and end with a block.
    pub fn columns(&self, weight: Weight) -> Option<Range<usize>> {
        self.columns[weight.0].clone()
    }

    /// All tensors, in the order of [`Program::weights`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

/// The tensor of a role, by its name in the checkpoint's own scheme.
pub(crate) fn named(checkpoint: &Checkpoint, role: TensorRole) -> Result<&Tensor, BackendError> {
    let naming = match checkpoint.format() {
        CheckpointFormat::HuggingFace => Naming::HuggingFace,
        CheckpointFormat::Gguf => Naming::Gguf,
    };
    Ok(checkpoint.require(&role.name(naming))?)
}

fn tensor<'a>(
    spec: &ModelSpec,
    checkpoint: &'a Checkpoint,
    role: TensorRole,
) -> Result<&'a Tensor, BackendError> {
    let tensor = named(checkpoint, role)?;
    let expected = spec.tensor_shape(role).expect("a program names tensors of its model only");
    if tensor.shape != expected {
        let (name, found) = (tensor.name.clone(), tensor.shape.clone());
        return Err(BackendError::WrongShape { name, found, expected });
    }
    Ok(tensor)
}
