//! Every kernel against the scalar product of the decoded matrix.

use wootz_backend::cpu::reference;

use super::{Gemv, MOST_ROWS, capacity, source_of};
use crate::case::{Case, Tolerance, values};
use crate::formats::readable;
use crate::formats::sample::Sample;
use crate::kernels::matrix::MatrixFormat;

/// The shape of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Rows of the input.
    rows: usize,
    /// Rows of the matrix.
    outputs: usize,
    /// Columns.
    columns: usize,
    /// Whether there is a bias.
    bias: bool,
    /// The matrix begins after so many times its alignment.
    shift: usize,
}

pub(super) fn cases() -> Vec<Case> {
    let formats = readable().filter(|&format| source_of(format).is_some());
    formats.flat_map(|format| shapes(format).into_iter().map(move |shape| case(format, shape))).collect()
}

/// One shape for each kernel of the format, odd in every way: outputs that fill no simdgroup, batches that fill no
/// kernel, more packets than lanes and fewer.
fn shapes(format: MatrixFormat) -> Vec<Shape> {
    let block = format.block_elements();
    // 32 lanes take 1,024 columns at most in a round: more than a round, and less.
    let (wide, narrow) =
        if format.is_plain() { (296, 24) } else { (block * 1056_usize.div_ceil(block), block) };
    let all = [
        Shape { rows: 1, outputs: 9, columns: wide, bias: false, shift: 0 },
        Shape { rows: 2, outputs: 5, columns: narrow, bias: true, shift: 16 },
        Shape { rows: 3, outputs: 3, columns: wide, bias: false, shift: 16 },
        Shape { rows: 7, outputs: 1, columns: wide, bias: true, shift: 0 },
        Shape { rows: MOST_ROWS, outputs: 6, columns: narrow, bias: false, shift: 16 },
        Shape { rows: 1, outputs: 2, columns: narrow, bias: true, shift: 1 },
    ];
    // Where a format has one kernel for many rows, some of these would be the same again.
    let rare = capacity(format, 2) == Some(MOST_ROWS);
    let mut shapes: Vec<Shape> =
        all.into_iter().filter(|shape| !rare || ![2, 3].contains(&shape.rows)).collect();
    if format.is_plain() {
        // Rows that begin anywhere and end within a vector.
        shapes.extend([
            Shape { rows: 1, outputs: 9, columns: 131, bias: true, shift: 1 },
            Shape { rows: 2, outputs: 3, columns: 3, bias: false, shift: 3 },
            Shape { rows: 4, outputs: 5, columns: 133, bias: false, shift: 1 },
            Shape { rows: 5, outputs: 2, columns: 150, bias: true, shift: 5 },
            Shape { rows: 1, outputs: 1, columns: 1, bias: false, shift: 0 },
        ]);
    }
    shapes
}

fn case(format: MatrixFormat, shape: Shape) -> Case {
    let Shape { rows, outputs, columns, bias, shift } = shape;
    let suffix = if bias { ", bias" } else { "" };
    let mut case = Case::new(format!("gemv {format} {rows}x{outputs}x{columns}, from {shift}{suffix}"));
    let sample = Sample::new(format, outputs, columns, 11);
    let (inputs, biases) = (values(rows * columns, 12), values(outputs, 13));
    let mut expected = vec![0.0; rows * outputs];
    reference::linear(&inputs, columns, &sample.decoded, bias.then_some(&biases), &mut expected);
    let tolerance = tolerance(&sample, &inputs);
    let input = case.input("input", &inputs);
    let matrix = sample.store(&mut case, shift);
    let bias = bias.then(|| case.input("bias", &biases));
    let out = case.output_f32("out", expected, tolerance);
    case.dispatch([Gemv { rows, input, matrix, bias, out }.dispatch()]);
    case
}

/// A lane adds up columns / 32 products in a chain, then come five additions of lanes and one of the bias: each rounds
/// a sum that is at most Σ |x| · |w|. Unpacking by parts (scale · Σ q x - minimum · Σ x) makes the sums of a part at most
/// twice that, with a few roundings more.
fn tolerance(sample: &Sample, inputs: &[f32]) -> Tolerance {
    let largest = sample.decoded.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    let norms = inputs.chunks_exact(sample.columns).map(|x| x.iter().map(|x| x.abs()).sum::<f32>());
    let roundings = sample.columns.div_ceil(32) + 32;
    let unit = f32::EPSILON / 2.0;
    let sum = norms.fold(1.0, f32::max) * largest.max(1.0 / 64.0);
    Tolerance { absolute: roundings as f32 * unit * sum, relative: 4.0 * unit }
}

#[cfg(test)]
mod tests {
    use wootz_weights::TensorType;

    use super::*;

    #[test]
    fn a_wrong_bit_is_larger_than_the_tolerance() {
        // The smallest step of an element, 1/128 of the largest for Q8_0, times an input of a half.
        let sample = Sample::new(MatrixFormat::Ggml(TensorType::Q8_0), 1, 1056, 11);
        let allowed = tolerance(&sample, &values(1056, 12)).absolute;
        assert!(allowed < 0.5 / 128.0, "{allowed}");
    }
}
