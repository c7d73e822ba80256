//! Measuring which kernel multiplies each of a model's matrices fastest, on the device itself.

use std::collections::BTreeMap;

use wootz_backend::ops::{Op, Program, Projection};

use crate::case::values;
use crate::device::{Command, Device, DeviceError, Dispatch, Profile, Slice};
use crate::hazards::with_barriers;
use crate::kernels::joint::JointRows;
use crate::kernels::matrix::StoredMatrix;
use crate::lower::matmul::{Product, Products};
use crate::model::GpuModel;
use crate::select::{Choice, Shape, candidates};

/// What was measured for one shape.
#[derive(Debug, Clone)]
pub struct Trial {
    /// [`Shape::key`]: what the winner is kept under.
    pub key: String,
    /// Rows of the input.
    pub rows: usize,
    /// Each choice's name and its median seconds for one product, the fastest first.
    pub measured: Vec<(String, f64)>,
    /// The choice that was expected to be fastest.
    pub expected: String,
    /// Bytes that one product has to read and write at least.
    pub bytes: u64,
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct TuneSettings {
    /// Numbers of rows.
    pub rows: Vec<usize>,
    /// Measurements of each choice, of which the median counts.
    pub repeats: usize,
}

/// The matrices of one shape, whose rows are computed one after another so that no cache holds what comes next.
struct Family {
    matrices: Vec<StoredMatrix>,
    bias: bool,
}

/// Measures every candidate for every shape of a model, for each number of rows. `progress` is told which shape, and how many
/// of all are done. Tensor operations are measured only where their results are those of the tiles.
///
/// # Errors
/// When the device fails or has no room for the scratch.
pub fn tune(
    model: &mut GpuModel,
    settings: &TuneSettings,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Vec<Trial>, DeviceError> {
    let families = families(model);
    let answers = model.lowering().selection.answers;
    let facts = model.lowering().selection.facts.clone();
    let excluded = model.lowering().selection.choices.excluded.clone();
    let total = families.len() * settings.rows.len();
    let mut bench = Bench::new(model.device(), &families, settings)?;
    let mut trials = Vec::new();
    for (&rows, family) in
        settings.rows.iter().flat_map(|rows| families.iter().map(move |family| (rows, family)))
    {
        let matrix = family.matrices[0];
        let shape = Shape { rows, matrix, bias: family.bias };
        progress(&shape.key(), trials.len(), total);
        let mut candidates = candidates(&shape, &facts, answers);
        candidates.retain(|choice| choice.entries(&shape).iter().all(|&entry| !excluded.contains(entry)));
        let Some(expected) = candidates.first().map(|choice| choice.name()) else { continue };
        let mut measured = Vec::new();
        let tiles = candidates.iter().copied().find(|choice| matches!(choice, Choice::Tiles(_)));
        for choice in candidates {
            let is_right = match (choice, tiles) {
                (Choice::Tensor, Some(tiles)) => bench.agree(choice, tiles, rows, family)?,
                (Choice::Tensor, None) => false,
                _ => true,
            };
            if !is_right {
                continue;
            }
            let seconds = bench.seconds(choice, rows, family, settings.repeats)?;
            measured.push((choice.name(), seconds));
        }
        measured.sort_by(|a, b| a.1.total_cmp(&b.1));
        let bytes = matrix.bytes() + 4 * (rows * (matrix.rows + matrix.columns)) as u64;
        trials.push(Trial { key: shape.key(), rows, measured, expected, bytes });
    }
    bench.release();
    Ok(trials)
}

/// A model's matrices by shape, and those that are multiplied with together as one.
fn families(model: &GpuModel) -> Vec<Family> {
    let Program { ops, .. } = &model.lowering().program;
    let weights = &model.lowering().weights;
    let single = ops.iter().flat_map(Op::projections).map(|Projection { matrix, bias, .. }| {
        (weights.matrices[matrix.0].expect("a factor is a matrix"), bias.is_some())
    });
    let joint = weights.joints.iter().map(|joint| (joint.matrix, joint.bias.is_some()));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (matrix, bias) in single.chain(joint) {
        let family = families.entry(Shape { rows: 1, matrix, bias }.key());
        family.or_insert_with(|| Family { matrices: Vec::new(), bias }).matrices.push(matrix);
    }
    families.into_values().collect()
}

/// Memory for the largest shape.
struct Bench<'a> {
    device: &'a mut dyn Device,
    input: Slice,
    bias: Slice,
    out: Slice,
    scratch: Slice,
}

impl<'a> Bench<'a> {
    fn new(
        device: &'a mut dyn Device,
        families: &[Family],
        settings: &TuneSettings,
    ) -> Result<Bench<'a>, DeviceError> {
        let rows = settings.rows.iter().copied().max().unwrap_or(1);
        let greatest = |of: &dyn Fn(&StoredMatrix) -> usize| {
            families.iter().map(|family| of(&family.matrices[0])).max().unwrap_or(1)
        };
        let (columns, outputs) = (greatest(&|matrix| matrix.columns), greatest(&|matrix| matrix.rows));
        let mut scratch = 1;
        let facts = device.facts().clone();
        for (&rows, family) in
            settings.rows.iter().flat_map(|rows| families.iter().map(move |family| (rows, family)))
        {
            let matrix = family.matrices[0];
            let shape = Shape { rows, matrix, bias: family.bias };
            for choice in candidates(&shape, &facts, crate::select::Answers::Fastest) {
                scratch = scratch.max(Products::scratch_bytes(rows, &[(choice, matrix)]));
            }
        }
        let mut slice = |length: usize| {
            let buffer = device.allocate(length, "measuring kernels")?;
            Ok::<_, DeviceError>(Slice { buffer, offset: 0, length })
        };
        let (input, bias) = (slice(4 * rows * columns)?, slice(4 * outputs)?);
        let (out, scratch) = (slice(4 * rows * outputs)?, slice(scratch)?);
        // Not zeros, on which some GPUs need less power and run faster.
        for (slice, seed) in [(input, 1), (bias, 2)] {
            device.write(slice, bytemuck::cast_slice(&values(slice.length / 4, seed)))?;
        }
        Ok(Bench { device, input, bias, out, scratch })
    }

    /// The launches of one product.
    fn append(
        &self,
        choice: Choice,
        matrix: StoredMatrix,
        rows: usize,
        bias: bool,
        dispatches: &mut Vec<Dispatch>,
    ) {
        let bias = bias.then(|| self.bias.part(0, 4 * matrix.rows));
        let out = self.out.part(0, 4 * rows * matrix.rows);
        let input = self.input.part(0, 4 * rows * matrix.columns);
        let products = &[Product { choice, matrix, bias, out: JointRows::one(out, matrix.rows) }];
        Products { rows, input, converted: None, products, scratch: self.scratch }.append(dispatches);
    }

    /// Whether two choices compute the same with every matrix of a family. Both round the same factors, so only the
    /// order of additions differs: 2⁻²⁴ for each of the thousands, as a random walk less than 2⁻¹⁶ of a typical result.
    /// 2⁻¹⁰ leaves room for units that cut what they add, and finds every product that went wrong.
    fn agree(
        &mut self,
        one: Choice,
        other: Choice,
        rows: usize,
        family: &Family,
    ) -> Result<bool, DeviceError> {
        for &matrix in &family.matrices {
            let mut result = |choice| self.result(choice, matrix, rows, family.bias);
            let (found, expected) = (result(one)?, result(other)?);
            if !near(&found, &expected) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a choice computes.
    fn result(
        &mut self,
        choice: Choice,
        matrix: StoredMatrix,
        rows: usize,
        bias: bool,
    ) -> Result<Vec<f32>, DeviceError> {
        let out = self.out.part(0, 4 * rows * matrix.rows);
        // NaN, so that nothing is taken over from before.
        self.device.write(out, &vec![0xff; out.length])?;
        let mut dispatches = Vec::new();
        self.append(choice, matrix, rows, bias, &mut dispatches);
        let submission = self.device.submit(&with_barriers(dispatches), Profile::Whole)?;
        self.device.wait(submission)?;
        let mut bytes = vec![0; out.length];
        self.device.read(out, &mut bytes)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Seconds of one product, the median of several measurements after one that is not counted.
    fn seconds(
        &mut self,
        choice: Choice,
        rows: usize,
        family: &Family,
        repeats: usize,
    ) -> Result<f64, DeviceError> {
        let mut dispatches: Vec<Dispatch> = Vec::new();
        for &matrix in &family.matrices {
            self.append(choice, matrix, rows, family.bias, &mut dispatches);
        }
        let kernels: Vec<_> = dispatches.iter().map(|dispatch| dispatch.kernel).collect();
        self.device.prepare(&kernels, &mut |_| ())?;
        let commands: Vec<Command> = with_barriers(dispatches);
        let mut seconds = Vec::new();
        for _ in 0..=repeats {
            let submission = self.device.submit(&commands, Profile::Whole)?;
            seconds.push(self.device.wait(submission)?.seconds / family.matrices.len() as f64);
        }
        let counted = &mut seconds[1..];
        counted.sort_by(f64::total_cmp);
        Ok(counted[counted.len() / 2])
    }

    fn release(self) {
        for slice in [self.input, self.bias, self.out, self.scratch] {
            self.device.release(slice.buffer);
        }
    }
}

/// Whether each number is within 2⁻¹⁰ of the typical magnitude of those expected.
fn near(found: &[f32], expected: &[f32]) -> bool {
    let squares: f64 = expected.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let typical = (squares / expected.len() as f64).sqrt();
    let difference = |(&found, &expected): (&f32, &f32)| (f64::from(found) - f64::from(expected)).abs();
    found.iter().zip(expected).map(difference).all(|difference| difference <= typical / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_wrong_number_among_right_ones_is_seen() {
        let expected: Vec<f32> = (0..1000).map(|index| (index as f32 * 0.1).sin()).collect();
        let changed = |place: usize, value: f32| {
            let mut found = expected.clone();
            found[place] = value;
            near(&found, &expected)
        };
        assert!(near(&expected, &expected));
        assert!(changed(10, expected[10] + 5.0e-4));
        assert!(!changed(10, expected[10] + 1.0e-3));
        assert!(!changed(999, f32::NAN));
    }
}
