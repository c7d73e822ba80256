//! Comparisons of the embedding kernels with their twins.

use wootz_backend::cpu::reference;
use wootz_weights::TensorType;

use super::{DequantizeToHalf, Embed, Gather, GatherAdd, PREVIOUS_ROW};
use crate::case::{Case, Check, Tolerance, values};
use crate::formats::{readable, sample::Sample};
use crate::kernels::matrix::MatrixFormat;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> =
        readable().map(|format| embed_case(format, columns_for(format), 3, 0.75)).collect();
    // Widths that end in every place of a quad, and one narrower than a quad.
    let plain = [TensorType::F32, TensorType::F16, TensorType::BF16].map(MatrixFormat::Ggml);
    cases.extend(
        plain.into_iter().flat_map(|format| [1, 3, 66, 100].map(|width| embed_case(format, width, 2, 1.0))),
    );
    // Exactly one threadgroup, and one thread more than one.
    cases.push(embed_case(MatrixFormat::Ggml(TensorType::Q8_0), 1024, 1, 1.0));
    cases.push(embed_case(MatrixFormat::Ggml(TensorType::Q4_0), 32, 33, 22.5));
    cases.extend(readable().map(dequantize_case));
    cases.extend([(1, 64), (3, 33), (5, 130), (2, 1)].map(|(count, width)| gather_add_case(count, width)));
    cases.extend([(1, 64), (3, 35), (4, 2)].map(|(count, width)| gather_case(count, width)));
    cases
}

/// Two blocks (squares) in a row, so that the second is found; more blocks are more of the same.
fn columns_for(format: MatrixFormat) -> usize {
    match format {
        MatrixFormat::Fp8(..) => 272,
        MatrixFormat::Ggml(kind) if format.is_plain() => 37 + kind.block_bytes(),
        _ => 2 * format.block_elements(),
    }
}

fn embed_case(format: MatrixFormat, columns: usize, rows: usize, scale: f32) -> Case {
    // Tables begin at odd multiples of what the format asks for; FP8's needs a second row of squares.
    let vocabulary = if matches!(format, MatrixFormat::Fp8(..)) { 130 } else { 7 };
    let mut case = Case::new(format!("embed {format} {rows}x{columns}"));
    let sample = Sample::new(format, vocabulary, columns, columns as u64);
    // The last row, the first, then any.
    let tokens: Vec<u32> = (0..rows).map(|row| ((row + 1) * (vocabulary - 1) % vocabulary) as u32).collect();
    let mut expected = vec![0.0; rows * columns];
    reference::embed(&sample.decoded, columns, &tokens, scale, &mut expected);
    let table = sample.store(&mut case, 1);
    // Every other one is named as a row of the step before, from the last on.
    let chosen: Vec<u32> = tokens.iter().rev().copied().collect();
    let named =
        |row: usize| if row.is_multiple_of(2) { tokens[row] } else { PREVIOUS_ROW | (rows - 1 - row) as u32 };
    let entries: Vec<u32> = (0..rows).map(named).collect();
    let (tokens, previous) = (case.input("tokens", &entries), case.input("previous tokens", &chosen));
    let tolerance = sample.tolerance();
    let out =
        case.output_f32("out", expected, Tolerance { absolute: tolerance.absolute * scale, ..tolerance });
    case.dispatch([Embed { rows, table, scale, tokens, previous, out }.dispatch()]);
    case
}

/// An f32 that is a little off may round to the neighbour of the right f16: 2⁻¹⁰ of it, or 2⁻²⁴ where halves are
/// subnormal.
fn dequantize_case(format: MatrixFormat) -> Case {
    let (rows, columns) = (3, columns_for(format));
    let mut case = Case::new(format!("dequantize {format} {rows}x{columns}"));
    let sample = Sample::new(format, rows, columns, 5);
    let matrix = sample.store(&mut case, 1);
    let tolerance = Tolerance { absolute: sample.tolerance().absolute + 6.0e-8, relative: 9.8e-4 };
    let bytes = vec![0xff; 2 * sample.decoded.len()];
    let out = case.buffer("out", bytes, Check::F16(sample.decoded, tolerance));
    case.dispatch([DequantizeToHalf { matrix, out }.dispatch()]);
    case
}

fn gather_add_case(count: usize, width: usize) -> Case {
    let mut case = Case::new(format!("gather_add {count}x{width}"));
    let (residuals, inputs) = (values(6 * width, 1), values(6 * width, 2));
    let numbers: Vec<u32> = (0..count as u32).map(|row| 5 - row).collect();
    let mut expected = vec![0.0; count * width];
    reference::gather_add(&residuals, &inputs, width, &numbers, &mut expected);
    let residual = case.input("residual", &residuals);
    let input = case.input("input", &inputs);
    let rows = case.input("rows", &numbers);
    let out = case.output_f32("out", expected, Tolerance::EXACT);
    case.dispatch([GatherAdd { count, width, residual, input, rows, out }.dispatch()]);
    case
}

fn gather_case(count: usize, width: usize) -> Case {
    let mut case = Case::new(format!("gather {count}x{width}"));
    let inputs = values(6 * width, 3);
    let numbers: Vec<u32> = (0..count as u32).map(|row| (row * 5 + 2) % 6).collect();
    let mut expected = vec![0.0; count * width];
    for (&number, out) in numbers.iter().zip(expected.chunks_exact_mut(width)) {
        out.copy_from_slice(&inputs[number as usize * width..][..width]);
    }
    let input = case.input("input", &inputs);
    let rows = case.input("rows", &numbers);
    let out = case.output_f32("out", expected, Tolerance::EXACT);
    case.dispatch([Gather { count, width, input, rows, out }.dispatch()]);
    case
}
