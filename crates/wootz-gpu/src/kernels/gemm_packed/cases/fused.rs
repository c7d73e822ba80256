//! Products that are one launch with what comes before, after or beside them: a norm, a gate, another matrix.

use wootz_backend::cpu::reference;
use wootz_spec::Norm;
use wootz_weights::TensorType;

use super::super::{
    GatedGemm, LongestRow, NormedGatedGemm, NormedGemm, PackedPair, PairInput, PairMember, PairSpread,
    Spread, UnnormedRow,
};
use super::joined;
use crate::case::{Case, Check, Tolerance, values};
use crate::formats::sample::Sample;
use crate::kernels::activation::{Activation, Gate};
use crate::kernels::gemm::{HalfInput, HalfRows};
use crate::kernels::joint::JointRows;
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};
use crate::twins;

/// Fewer threadgroups than there are units.
const SPREAD: Spread = Spread { simdgroups: 4, threadgroups: 2 };
const NORM: Norm = Norm { eps: 1e-5, weight_offset: 0.5 };
const F16: MatrixFormat = MatrixFormat::Ggml(TensorType::F16);
const Q4_K: MatrixFormat = MatrixFormat::Ggml(TensorType::Q4_K);
const Q5_K: MatrixFormat = MatrixFormat::Ggml(TensorType::Q5_K);
const Q6_K: MatrixFormat = MatrixFormat::Ggml(TensorType::Q6_K);
/// The matrices of a pair: each several one after another, with so many outputs.
const PAIR: [&[usize]; 2] = [&[32, 16, 21], &[16, 37]];
const PAIR_COLUMNS: usize = 512;
const PAIR_SPREAD: PairSpread = PairSpread { simdgroups: 4, threadgroups: [2, 1] };

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let formats = [TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::Q8_0, TensorType::F16];
    for format in formats.map(MatrixFormat::Ggml) {
        let columns = 320_usize.next_multiple_of(format.block_elements());
        cases.extend(
            [3, 11].map(|rows| gated_case(&Gated { format, rows, width: 48, columns, weights: 1.0 })),
        );
        cases.extend([false, true].map(|adds| normed_case(format, &[32, 16, 37], columns, adds)));
        cases.extend([false, true].map(|adds| normed_gated_case(format, 48, columns, adds)));
    }
    for formats in [[Q4_K, Q5_K], [Q4_K, Q6_K], [Q5_K, Q6_K]] {
        cases.extend([3, 19].map(|rows| pair_case(formats, rows)));
        cases.extend([false, true].map(|adds| normed_pair_case(formats, adds)));
    }
    // More rows than are taken together, and inputs that might be so long that f16 would not hold what they make.
    cases.push(gated_case(&Gated { format: F16, rows: 19, width: 32, columns: 192, weights: 1.0 }));
    cases.push(gated_case(&Gated { format: F16, rows: 2, width: 16, columns: 128, weights: 300.0 }));
    // As many columns as four simdgroups can norm; fewer quads than threads.
    cases.push(normed_case(F16, &[5], 2048, true));
    cases.push(normed_case(F16, &[16, 16], 128, true));
    cases
}

/// Weights, and what they make of rows.
struct Weighed {
    sample: Sample,
    /// `[rows, outputs]`.
    sums: Vec<f32>,
    /// What rounding the factors to f16 may change a sum by: see `Product::tolerance`.
    off: f32,
}

impl Weighed {
    fn new(format: MatrixFormat, outputs: usize, input: &[f32], columns: usize) -> Weighed {
        let sample = Sample::new(format, outputs, columns, 11);
        let mut sums = vec![0.0; input.len() / columns * outputs];
        reference::linear(input, columns, &sample.decoded, None, &mut sums);
        let products = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| (x * w).powi(2)).sum::<f32>();
        let rows = input.chunks_exact(columns);
        let greatest = rows.flat_map(|x| sample.decoded.chunks_exact(columns).map(move |w| products(x, w)));
        let off = (-8.0_f32).exp2() * greatest.fold(0.0, f32::max).sqrt();
        Weighed { sample, sums, off }
    }

    /// The greatest |w ∘ row|² of the first and of the second half.
    fn longest(&self, weights: &[f32]) -> [f32; 2] {
        let square = |row: &[f32]| row.iter().zip(weights).map(|(value, w)| (value * w).powi(2)).sum::<f32>();
        let (gates, ups) = self.sample.decoded.split_at(self.sample.decoded.len() / 2);
        [gates, ups].map(|half| half.chunks_exact(weights.len()).map(square).fold(0.0, f32::max))
    }

    /// The first half of each row's sums as the gate of the second, times `power`, and how exact.
    fn gated(&self, power: f32) -> (Vec<f32>, Tolerance) {
        let (outputs, silu) = (self.sample.rows, Gate::Plain(Activation::Silu));
        let of_row = |row: &[f32]| -> Vec<f32> {
            let (gates, ups) = row.split_at(outputs / 2);
            gates
                .iter()
                .zip(ups)
                .map(|(gate, up)| power * twins::activation::gated(silu, *gate, *up))
                .collect()
        };
        // A change of either factor is multiplied with the other, and silu is no steeper than 1.1.
        let greatest = self.sums.iter().fold(1.0_f32, |greatest, sum| greatest.max(sum.abs()));
        let tolerance = Tolerance { absolute: 2.1 * self.off * greatest * power, relative: 1e-3 };
        (self.sums.chunks_exact(outputs).flat_map(of_row).collect(), tolerance)
    }

    /// The matrices, packed one after another, and the power of what they make after a norm with such weights.
    fn store_two(&self, case: &mut Case, (weights, offset): (&[f32], f32)) -> (StoredMatrix, f32) {
        let width = self.sample.rows / 2;
        let matrix = self.sample.store(case, 1);
        let matrix = joined(case, matrix, &[width, width]);
        let tolerance = Tolerance { absolute: 0.0, relative: 1e-2 };
        let whole: Vec<f32> = weights.iter().map(|weight| weight + offset).collect();
        let found = self.longest(&whole);
        let longest = case.updated_f32("longest", &[0.0; 2], found.to_vec(), tolerance);
        let weight = case.input("norm", weights);
        for (place, part) in [0..width, width..2 * width].into_iter().enumerate() {
            let launch =
                LongestRow { matrix: matrix.part(part), weight, offset, longest: longest.part(4 * place, 4) };
            case.dispatch([launch.dispatch()]);
        }
        (matrix, LongestRow::power(weights.len(), found))
    }
}

/// Where the result of a gate goes.
fn gated_out(case: &mut Case, weighed: &Weighed, rows: usize, power: f32) -> HalfInput {
    let (expected, tolerance) = weighed.gated(power);
    let halves = case.buffer("out", vec![0xff; 2 * expected.len()], Check::F16(expected, tolerance));
    HalfInput { halves, inverse: case.output_f32("inverse", vec![1.0 / power; rows], Tolerance::EXACT) }
}

struct Gated {
    format: MatrixFormat,
    rows: usize,
    /// Outputs of the gate, and of what it lets through.
    width: usize,
    columns: usize,
    /// Weights of the norm that inputs are said to come from: they are no longer than that would make them.
    weights: f32,
}

fn gated_case(&Gated { format, rows, width, columns, weights }: &Gated) -> Case {
    let mut case = Case::new(format!("gated {format} {rows}x{width}x{columns}, norm of {weights}"));
    let input = values(rows * columns, 12);
    let weighed = Weighed::new(format, 2 * width, &input, columns);
    let norm = vec![weights; columns];
    let (matrix, power) = weighed.store_two(&mut case, (&norm, 0.0));
    let halves = HalfInput::within(case.scratch("halves", HalfInput::bytes(rows, columns)), rows, columns);
    let input = case.input("input", &input);
    case.dispatch([HalfRows { rows, columns, input, out: halves }.dispatch()]);
    let out = gated_out(&mut case, &weighed, rows, power);
    case.dispatch([GatedGemm { spread: SPREAD, rows, matrix, power, input: halves, out }.dispatch()]);
    case
}

/// A row before its norm, and normed.
fn unnormed(case: &mut Case, columns: usize, adds: bool) -> (UnnormedRow, Vec<f32>) {
    let (residual, added, weights) = (values(columns, 1), values(columns, 2), values(columns, 3));
    let mut sum = residual.clone();
    if adds {
        reference::add(&mut sum, &added);
    }
    let mut normed = vec![0.0; columns];
    reference::rms_norm(&sum, &weights, NORM, &mut normed);
    let residual = case.input("residual", &residual);
    let added = adds.then(|| case.input("added", &added));
    let sum = adds.then(|| case.output_f32("sum", sum, Tolerance::EXACT));
    let weight = case.input("weight", &weights);
    (UnnormedRow { columns, residual, added, sum, weight, norm: NORM }, normed)
}

/// Matrices with so many outputs one after another, packed, with or without a bias, and where their results go.
fn member(case: &mut Case, weighed: &Weighed, parts: &[usize], has_bias: bool) -> PairMember {
    let outputs = weighed.sample.rows;
    let bias = has_bias.then(|| values(outputs, 13));
    let tolerance = Tolerance { absolute: weighed.off, relative: 2.0e-6 };
    let mut expected = weighed.sums.clone();
    if let Some(bias) = &bias {
        expected.chunks_exact_mut(outputs).for_each(|row| reference::add(row, bias));
    }
    let mut begin = 0;
    let mut results = Vec::new();
    for &count in parts {
        let of_row = |row: &[f32]| row[begin..begin + count].to_vec();
        let part = expected.chunks_exact(outputs).flat_map(of_row).collect();
        results.push((case.output_f32("out", part, tolerance), count));
        begin += count;
    }
    let matrix = weighed.sample.store(case, 1);
    let matrix = joined(case, matrix, parts);
    let bias = bias.map(|bias| case.input("bias", &bias));
    PairMember { matrix, bias, out: JointRows::of(&results) }
}

/// Matrices with so many outputs one after another.
fn normed_case(format: MatrixFormat, parts: &[usize], columns: usize, adds: bool) -> Case {
    let mut case = Case::new(format!("normed {format} {parts:?}x{columns}, added: {adds}"));
    let (row, normed) = unnormed(&mut case, columns, adds);
    let weighed = Weighed::new(format, parts.iter().sum(), &normed, columns);
    let PairMember { matrix, bias, out } = member(&mut case, &weighed, parts, adds);
    case.dispatch([NormedGemm { spread: SPREAD, matrix, bias, row, out }.dispatch()]);
    case
}

/// The members of a pair, of which the second has a bias.
fn members(case: &mut Case, formats: [MatrixFormat; 2], input: &[f32]) -> [PairMember; 2] {
    [0, 1].map(|which| {
        let weighed = Weighed::new(formats[which], PAIR[which].iter().sum(), input, PAIR_COLUMNS);
        member(case, &weighed, PAIR[which], which == 1)
    })
}

fn pair_case(formats: [MatrixFormat; 2], rows: usize) -> Case {
    let mut case = Case::new(format!("{} beside {}, {rows} rows", formats[0], formats[1]));
    let input = values(rows * PAIR_COLUMNS, 12);
    let members = members(&mut case, formats, &input);
    let bytes = HalfInput::bytes(rows, PAIR_COLUMNS);
    let halves = HalfInput::within(case.scratch("halves", bytes), rows, PAIR_COLUMNS);
    let input = case.input("input", &input);
    case.dispatch([HalfRows { rows, columns: PAIR_COLUMNS, input, out: halves }.dispatch()]);
    let input = PairInput::Rows(rows, halves);
    case.dispatch([PackedPair { spread: PAIR_SPREAD, members, input }.dispatch()]);
    case
}

fn normed_pair_case(formats: [MatrixFormat; 2], adds: bool) -> Case {
    let mut case = Case::new(format!("normed {} beside {}, added: {adds}", formats[0], formats[1]));
    let (row, normed) = unnormed(&mut case, PAIR_COLUMNS, adds);
    let members = members(&mut case, formats, &normed);
    let input = PairInput::Unnormed(row);
    case.dispatch([PackedPair { spread: PAIR_SPREAD, members, input }.dispatch()]);
    case
}

fn normed_gated_case(format: MatrixFormat, width: usize, columns: usize, adds: bool) -> Case {
    let mut case = Case::new(format!("normed and gated {format} {width}x{columns}, added: {adds}"));
    let (row, normed) = unnormed(&mut case, columns, adds);
    let weighed = Weighed::new(format, 2 * width, &normed, columns);
    let weights = values(columns, 3);
    let (matrix, power) = weighed.store_two(&mut case, (&weights, NORM.weight_offset));
    let out = gated_out(&mut case, &weighed, 1, power);
    case.dispatch([NormedGatedGemm { spread: SPREAD, matrix, power, row, out }.dispatch()]);
    case
}
