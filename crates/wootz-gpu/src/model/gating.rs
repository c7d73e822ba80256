//! Which gates of feed-forward blocks one launch computes with their matrices, and what it has to know of those.

use wootz_backend::ops::{Op, Program, Weight};
use wootz_spec::Activation;

use crate::device::{Command, Device, DeviceError, Profile, Slice};
use crate::kernels::gemm_packed::{GatedGemm, LongestRow};
use crate::lower::arena::touched;
use crate::lower::factors::Gating;
use crate::lower::{Joint, Weights};

/// f32 numbers that are known of two matrices.
const LONGEST: usize = 2;
/// Where a gate's results might be greater, so that they would be multiplied with less than 2⁻⁹ to fit f16, ordinary ones would
/// lose bits: then the power follows from each row, which takes a launch.
const GREATEST: f32 = (1 << 23) as f32;

/// A gate whose matrices lie one after another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointGate {
    /// The joint.
    joint: usize,
    /// The weights of the norm that its input comes from.
    weight: Weight,
    /// Added to them.
    offset: f32,
}

/// Those of a program, whose joints have `members`.
pub fn gates(program: &Program, members: &[Vec<Weight>]) -> Vec<JointGate> {
    let of_op = |(place, op): (usize, &Op)| {
        let Op::GateUp { input, gate, up, activation: Activation::Silu, .. } = op else { return None };
        let joint = members.iter().position(|members| *members == [gate.matrix, up.matrix])?;
        let (None, None) = (gate.bias, up.bias) else { return None };
        let made = program.ops[..place].iter().rev().find(|op| touched(op).written.contains(input));
        match made? {
            Op::RmsNorm { weight, norm, .. } | Op::AddNorm { weight, norm, .. } => {
                Some(JointGate { joint, weight: *weight, offset: norm.weight_offset })
            }
            _ => None,
        }
    };
    program.ops.iter().enumerate().filter_map(of_op).collect()
}

/// Zeros for what is known of a gate's matrices.
pub fn unknown() -> Vec<f32> {
    vec![0.0; LONGEST]
}

/// Finds out what gates have to know of their matrices, which are on the device, and where [`unknown`] is for each.
///
/// # Errors
/// What the device says.
pub fn learn(
    device: &mut dyn Device,
    weights: &mut Weights,
    gates: &[(JointGate, Slice)],
) -> Result<(), DeviceError> {
    let mut commands = Vec::new();
    for &(JointGate { joint, weight, offset }, longest) in gates {
        let matrix = weights.joints[joint].matrix;
        let weight = weights.vectors[weight.0].expect("a norm's weight was loaded as a vector");
        let half = matrix.rows / 2;
        for (place, rows) in [0..half, half..matrix.rows].into_iter().enumerate() {
            let (matrix, longest) = (matrix.part(rows), longest.part(4 * place, 4));
            commands.push(Command::Dispatch(LongestRow { matrix, weight, offset, longest }.dispatch()));
        }
    }
    if commands.is_empty() {
        return Ok(());
    }
    let submission = device.submit(&commands, Profile::Whole)?;
    device.wait(submission)?;
    let facts = device.facts().clone();
    for &(JointGate { joint, .. }, longest) in gates {
        let mut found = [0.0_f32; LONGEST];
        device.read(longest, bytemuck::cast_slice_mut(&mut found))?;
        let Joint { matrix, gating, .. } = &mut weights.joints[joint];
        if fits(matrix.columns, found) {
            let power = LongestRow::power(matrix.columns, found);
            *gating = Some(Gating { spread: GatedGemm::spread(&facts, matrix), power });
        }
    }
    Ok(())
}

/// Whether f16 has room for a gate's results with a power of two for all rows.
fn fits(columns: usize, longest: [f32; LONGEST]) -> bool {
    // No number compares as false.
    LongestRow::greatest(columns, longest) <= GREATEST
}

#[cfg(test)]
mod tests {
    use wootz_backend::ops::{Buffer, BufferShape, CacheShape, Projection, Rows};
    use wootz_spec::Norm;

    use super::*;

    /// A norm with weight 0, and a gate with weights 1 and 2.
    fn program(bias: Option<Weight>) -> Program {
        let projection = |matrix, out| Projection { matrix: Weight(matrix), bias, out: Buffer(out) };
        let norm = Norm { eps: 1e-6, weight_offset: 1.0 };
        let gate_up = Op::GateUp {
            input: Buffer(1),
            gate: projection(1, 2),
            up: projection(2, 3),
            activation: Activation::Silu,
            out: Buffer(4),
        };
        Program {
            ops: vec![Op::RmsNorm { input: Buffer(0), weight: Weight(0), norm, out: Buffer(1) }, gate_up],
            buffers: vec![BufferShape { rows: Rows::Tokens, width: 1 }; 5],
            weights: Vec::new(),
            cache: CacheShape { layers: 0, kv_heads: 0, head_dim: 0 },
            logits: Buffer(4),
        }
    }

    #[test]
    fn a_gate_after_a_norm_is_one() {
        let members = [vec![Weight(1), Weight(2)]];
        let expected = [JointGate { joint: 0, weight: Weight(0), offset: 1.0 }];
        assert_eq!(gates(&program(None), &members), expected);
        assert_eq!(gates(&program(Some(Weight(3))), &members), []);
        assert_eq!(gates(&program(None), &[vec![Weight(2), Weight(1)]]), []);
        // Its input is changed after the norm.
        let mut changed = program(None);
        changed.ops.insert(1, Op::Embed { table: Weight(4), scale: 1.0, out: Buffer(1) });
        assert_eq!(gates(&changed, &members), []);
    }

    #[test]
    fn results_that_f16_would_lose_are_no_gate() {
        assert!(fits(4096, [1.0, 1.0]) && fits(4096, [0.0, 0.0]));
        assert!(!fits(4096, [1e4, 1e4]) && !fits(4096, [f32::INFINITY, 0.0]) && !fits(64, [f32::NAN, 1.0]));
    }
}
