//! The factors of a program's products: which kernels multiply with them, and which of them are multiplied with together.

use std::sync::Arc;

use arrayvec::ArrayVec;
use wootz_backend::ops::{Projection, Weight};

use super::Weights;
use crate::device::Slice;
use crate::kernels::gemm_packed::{Sharing, Spread};
use crate::kernels::joint::MOST_JOINT;
use crate::kernels::matrix::StoredMatrix;
use crate::select::Choice;

/// Matrices of one input that lie one after another, so that one launch can multiply with all of them.
#[derive(Debug, Clone)]
pub struct Joint {
    /// They, in their order. Each is a part of `matrix` and is in no other of these.
    pub members: ArrayVec<Weight, MOST_JOINT>,
    /// All of them as one.
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32: theirs, one after another.
    pub bias: Option<Slice>,
    /// Where they are a gate and what it lets through: how one launch does all of that.
    pub gating: Option<Gating>,
}

/// What [`GatedGemm`](crate::kernels::gemm_packed::GatedGemm) has to know of its matrices and its input.
#[derive(Debug, Clone, Copy)]
pub struct Gating {
    /// How the matrices are spread over the device.
    pub spread: Spread,
    /// [`LongestRow::power`](crate::kernels::gemm_packed::LongestRow::power) of both.
    pub power: f32,
}

/// The kernels of a program's products, chosen at load, because a step has hundreds of products. Matrices of one shape share
/// a table: the kernel for 1, 2, 3 and so on rows.
#[derive(Debug, Clone, Default)]
pub struct Choosing {
    /// For each weight that is multiplied with, in the order of
    /// [`Program::weights`](wootz_backend::ops::Program::weights).
    pub matrices: Vec<Option<Arc<[Choice]>>>,
    /// For each of [`Weights::joints`] how all of its matrices are multiplied with in one launch; `None` where each has a
    /// launch of its own.
    pub joints: Vec<Arc<[Option<Sharing>]>>,
}

/// What is multiplied with by one launch, or by several that follow each other.
#[derive(Debug, Clone)]
pub struct Factor<'a> {
    /// How.
    pub choice: Choice,
    /// One matrix, or all of a [`Joint`].
    pub matrix: StoredMatrix,
    /// `[matrix.rows]` f32.
    pub bias: Option<Slice>,
    /// The projection of the matrix, or of each.
    pub projections: ArrayVec<&'a Projection, MOST_JOINT>,
}

impl Choosing {
    /// How so many rows are multiplied with a matrix by itself.
    ///
    /// # Panics
    /// When it was not chosen at load.
    pub fn of(&self, weight: Weight, rows: usize) -> Choice {
        self.matrices[weight.0].as_ref().expect("kernels for every product were chosen at load")[rows - 1]
    }

    /// What so many rows of the input of an op with these projections are multiplied with.
    pub fn factors<'a>(
        &self,
        weights: &Weights,
        projections: impl Iterator<Item = &'a Projection> + Clone,
        rows: usize,
    ) -> Vec<Factor<'a>> {
        let mut factors = Vec::new();
        for projection in projections.clone() {
            let together = weights.joint_of[projection.matrix.0].and_then(|number| {
                let joint = &weights.joints[number];
                let first = joint.members[0] == projection.matrix;
                self.joints[number][rows - 1].map(|sharing| (first.then_some(joint), sharing))
            });
            match together {
                Some((Some(joint), sharing)) => {
                    let members = projections.clone().filter(|one| joint.members.contains(&one.matrix));
                    let (choice, projections) = (Choice::Packed(sharing), members.collect());
                    let &Joint { matrix, bias, .. } = joint;
                    factors.push(Factor { choice, matrix, bias, projections });
                }
                // It goes with the first of them.
                Some((None, _)) => {}
                None => factors.push(Factor {
                    choice: self.of(projection.matrix, rows),
                    matrix: weights.matrix(projection.matrix),
                    bias: projection.bias.map(|bias| weights.vector(bias)),
                    projections: ArrayVec::from_iter([projection]),
                }),
            }
        }
        factors
    }
}
