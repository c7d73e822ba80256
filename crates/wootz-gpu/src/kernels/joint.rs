//! Results of several matrices that lie one after another as one: `kernels/common/joint_rows.h`.

use crate::device::{Argument, Slice};

/// Matrices that one launch multiplies with, at most.
pub const MOST_JOINT: usize = 3;

/// Where the outputs of one matrix go, or of up to [`MOST_JOINT`] that lie one after another as one: each to rows of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointRows {
    /// `[rows, outputs of the matrix]` f32 each. The first stands in the place of those that are not there.
    outs: [Slice; MOST_JOINT],
    /// Outputs before the second and before the third, or of all where there is none.
    begins: [usize; MOST_JOINT - 1],
}

impl JointRows {
    /// Outputs that all but the last matrix have a multiple of: kernels store so many to one place.
    pub const OUTPUTS: usize = 16;

    /// Of one matrix.
    pub fn one(out: Slice, outputs: usize) -> JointRows {
        JointRows { outs: [out; MOST_JOINT], begins: [outputs; MOST_JOINT - 1] }
    }

    /// Of matrices one after another, each with its outputs.
    ///
    /// # Panics
    /// When there are none or more than [`MOST_JOINT`], or when one but the last has no multiple of
    /// [`JointRows::OUTPUTS`] outputs.
    pub fn of(parts: &[(Slice, usize)]) -> JointRows {
        assert!((1..=MOST_JOINT).contains(&parts.len()), "{} results of one launch", parts.len());
        let all = parts.iter().map(|(_, outputs)| outputs).sum();
        let mut joint = JointRows::one(parts[0].0, all);
        let mut begin = 0;
        for (place, window) in parts.windows(2).enumerate() {
            let (outputs, next) = (window[0].1, window[1].0);
            assert!(
                outputs.is_multiple_of(Self::OUTPUTS),
                "{outputs} outputs before those of another matrix"
            );
            begin += outputs;
            joint.begins[place] = begin;
            joint.outs[place + 1] = next;
        }
        joint
    }

    /// Where those of the only matrix go; `None` where there are several, of `outputs` outputs together.
    pub fn only(&self, outputs: usize) -> Option<Slice> {
        (self.begins[0] == outputs).then_some(self.outs[0])
    }

    /// Where those of the first go.
    pub fn first(&self) -> Slice {
        self.outs[0]
    }

    /// As arguments of a kernel: `first`, `second` and `third`.
    pub fn written(&self) -> [Argument; MOST_JOINT] {
        self.outs.map(Argument::write)
    }

    /// As fields of an argument struct: `second` and `third`.
    pub fn begins(&self) -> [u32; MOST_JOINT - 1] {
        self.begins.map(|begin| begin as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::BufferId;

    fn slice(buffer: usize) -> Slice {
        Slice { buffer: BufferId(buffer), offset: 0, length: 64 }
    }

    #[test]
    fn each_result_has_a_place_and_a_beginning() {
        let places = |joint: &JointRows| joint.outs.map(|out| out.buffer.0);
        let one = JointRows::of(&[(slice(7), 33)]);
        assert_eq!((one, places(&one), one.begins()), (JointRows::one(slice(7), 33), [7; 3], [33; 2]));
        assert_eq!(one.only(33), Some(slice(7)));
        let two = JointRows::of(&[(slice(1), 32), (slice(2), 5)]);
        assert_eq!((places(&two), two.begins(), two.only(37)), ([1, 2, 1], [32, 37], None));
        let three = JointRows::of(&[(slice(1), 32), (slice(2), 16), (slice(3), 16)]);
        assert_eq!((places(&three), three.begins()), ([1, 2, 3], [32, 48]));
    }
}
