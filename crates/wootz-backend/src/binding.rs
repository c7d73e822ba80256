//! A checkpoint's tensors, found by role and checked against the model's shapes.

use wootz_spec::{ModelSpec, Naming, TensorRole};
use wootz_weights::{Checkpoint, CheckpointFormat, Tensor};

use crate::error::BackendError;
use crate::ops::{Program, Weight};

/// The tensors of a program, in the order of [`Program::weights`].
#[derive(Debug, Clone)]
pub struct Binding {
    tensors: Vec<Tensor>,
}

impl Binding {
    /// Finds every tensor of `program`, and checks that it has the shape that `spec` gives it.
    pub fn new(
        spec: &ModelSpec,
        program: &Program,
        checkpoint: &Checkpoint,
    ) -> Result<Binding, BackendError> {
        let naming = match checkpoint.format() {
            CheckpointFormat::HuggingFace => Naming::HuggingFace,
            CheckpointFormat::Gguf => Naming::Gguf,
        };
        let bound = program.weights.iter().map(|&role| tensor(spec, checkpoint, naming, role));
        Ok(Binding { tensors: bound.collect::<Result<_, _>>()? })
    }

    /// A program's tensor.
    pub fn tensor(&self, weight: Weight) -> &Tensor {
        &self.tensors[weight.0]
    }

    /// All tensors, in the order of [`Program::weights`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

fn tensor(
    spec: &ModelSpec,
    checkpoint: &Checkpoint,
    naming: Naming,
    role: TensorRole,
) -> Result<Tensor, BackendError> {
    let name = role.name(naming);
    let tensor = checkpoint.require(&name)?;
    let expected = spec.tensor_shape(role).expect("a program names tensors of its model only");
    if tensor.shape != expected {
        return Err(BackendError::WrongShape { name, found: tensor.shape.clone(), expected });
    }
    Ok(tensor.clone())
}
