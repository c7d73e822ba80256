//! Which matrices of a program are packed one after another, so that one launch multiplies with all of them: those of one
//! input (q, k and v; gate and up) with the same packing.

use std::collections::HashMap;

use arrayvec::ArrayVec;
use wootz_backend::Binding;
use wootz_backend::ops::{Op, Program, Projection, Weight};
use wootz_weights::Tensor;

use crate::device::Slice;
use crate::kernels::gemm_packed::Pack;
use crate::kernels::joint::MOST_JOINT;
use crate::kernels::matrix::{MatrixFormat, Packing, StoredMatrix};
use crate::lower::Joint;

/// Matrices that are packed one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// How.
    pub packing: Packing,
    /// At least two, all with a bias or none.
    pub projections: ArrayVec<Projection, MOST_JOINT>,
}

/// Those of a program, in its order. `packing` says how a weight is packed, if it is.
pub fn joined(
    program: &Program,
    binding: &Binding,
    packing: impl Fn(Weight) -> Option<Packing>,
) -> Vec<Joined> {
    let mut uses: HashMap<Weight, usize> = HashMap::new();
    for projection in program.ops.iter().flat_map(Op::projections) {
        *uses.entry(projection.matrix).or_default() += 1;
    }
    let mut joined = Vec::new();
    for op in &program.ops {
        let mut groups: Vec<Joined> = Vec::new();
        for projection in op.projections().filter(|projection| uses[&projection.matrix] == 1) {
            // A record belongs to one of them.
            let whole = binding.tensor(projection.matrix).rows().is_multiple_of(Packing::OUTPUTS);
            let Some(packing) = packing(projection.matrix).filter(|_| whole) else { continue };
            let alike = |group: &&mut Joined| {
                let biased = group.projections[0].bias.is_some() == projection.bias.is_some();
                group.packing == packing && biased && !group.projections.is_full()
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.projections.push(*projection),
                None => groups.push(Joined { packing, projections: ArrayVec::from_iter([*projection]) }),
            }
        }
        joined.extend(groups.into_iter().filter(|group| group.projections.len() > 1));
    }
    joined
}

impl Joined {
    /// Bytes of all matrices.
    pub fn bytes(&self, binding: &Binding) -> usize {
        let (rows, columns) = self.shape(binding);
        Pack::bytes(self.packing, rows, columns)
    }

    /// Each matrix, and how many bytes of the packed ones lie before it.
    pub fn matrices(&self, binding: &Binding) -> impl Iterator<Item = (Weight, usize)> {
        let bytes = |tensor: &Tensor| Pack::bytes(self.packing, tensor.rows(), tensor.columns());
        following(self.projections.iter().map(|one| one.matrix), binding, bytes)
    }

    /// Each bias, and how many bytes of the others lie before it.
    pub fn biases(&self, binding: &Binding) -> impl Iterator<Item = (Weight, usize)> {
        following(self.projections.iter().filter_map(|one| one.bias), binding, |tensor| 4 * tensor.elements())
    }

    /// The joint, where its matrices lie in `data` and its biases in `bias`.
    ///
    /// # Panics
    /// When `data` has not [`Joined::bytes`] bytes at a multiple of 16.
    pub fn joint(&self, binding: &Binding, data: Slice, bias: Option<Slice>) -> Joint {
        let ((rows, columns), format) = (self.shape(binding), MatrixFormat::Packed(self.packing));
        let matrix = StoredMatrix { format, rows, columns, data, scales: None, biases: None };
        let matrix = matrix.checked().expect("memory of the size that was asked for");
        Joint { members: self.projections.iter().map(|one| one.matrix).collect(), matrix, bias, gating: None }
    }

    /// Rows of all matrices together, and columns of each.
    fn shape(&self, binding: &Binding) -> (usize, usize) {
        let rows = self.projections.iter().map(|one| binding.tensor(one.matrix).rows()).sum();
        (rows, binding.tensor(self.projections[0].matrix).columns())
    }
}

/// Tensors one after another, each with the bytes before it.
fn following(
    weights: impl Iterator<Item = Weight>,
    binding: &Binding,
    bytes: impl Fn(&Tensor) -> usize,
) -> impl Iterator<Item = (Weight, usize)> {
    weights.scan(0, move |end, weight| {
        let begin = *end;
        *end += bytes(binding.tensor(weight));
        Some((weight, begin))
    })
}
