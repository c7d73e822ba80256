//! The norms beside their twins.

use wootz_backend::cpu::reference;
use wootz_spec::Norm;

use super::{AddRmsNorm, LayerNorm, Normed, RmsNorm};
use crate::case::{Case, Check, Tolerance, values};
use crate::device::Slice;
use crate::kernels::gemm::HalfInput;
use crate::twins;

/// A sum of squares in another order differs by a few roundings; the rest of a norm is three of them.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 4e-6 };

/// The mean of a row is subtracted first: its rounding is absolute, about 1e-7 of the elements, which after the
/// division by a deviation of about 0.6 and with the weight and bias of at most 3 stays below 2e-6.
const LAYER_TOLERANCE: Tolerance = Tolerance { absolute: 3e-6, relative: 4e-6 };

const PLAIN: Norm = Norm { eps: 1e-5, weight_offset: 0.0 };
const OFFSET: Norm = Norm { eps: 1e-6, weight_offset: 1.0 };

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        (1, 64, PLAIN),
        (3, 100, OFFSET),
        (2, 33, PLAIN),
        (2, 4096, PLAIN),
        (1, 1, OFFSET),
        (1, 16402, PLAIN),
    ]
    .map(|(rows, width, norm)| rms_norm(rows, width, norm))
    .into();
    cases.extend(
        [(2, 64, PLAIN), (3, 103, OFFSET), (1, 2048, PLAIN), (1, 2, PLAIN), (1, 16389, OFFSET)]
            .map(|(rows, width, norm)| add_rms_norm(rows, width, norm)),
    );
    for (rows, width, scale) in [(2, 64, 1.0), (3, 103, 1.0e6), (1, 2048, 1.0e-4), (1, 16389, 1.0)] {
        for (added, floats) in [(true, true), (true, false), (false, true), (false, false)] {
            cases.push(rms_norm_half(HalfCase { rows, width, scale, added, floats }));
        }
    }
    for (rows, width, with_bias) in [(2, 64, true), (3, 102, false), (1, 1, true), (1, 16387, true)] {
        for added in [false, true] {
            cases.push(layer_norm(LayerNormCase { rows, width, with_bias, added, mean: 0.0 }));
        }
    }
    // A mean a thousand times the deviation: what E[x²] - E[x]² would lose.
    cases.push(layer_norm(LayerNormCase { rows: 2, width: 96, with_bias: true, added: false, mean: 600.0 }));
    cases
}

/// An input that begins four bytes into its buffer: rows need not be aligned to vectors.
fn unaligned(case: &mut Case, name: &'static str, values: &[f32]) -> Slice {
    let mut with_front = vec![f32::NAN];
    with_front.extend(values);
    let whole = case.input(name, &with_front);
    whole.part(4, 4 * values.len())
}

fn rms_norm(rows: usize, width: usize, norm: Norm) -> Case {
    let mut case = Case::new(format!("rms_norm {rows}x{width}"));
    let (inputs, weights) = (values(rows * width, 1), values(width, 2));
    let mut expected = vec![0.0; rows * width];
    reference::rms_norm(&inputs, &weights, norm, &mut expected);
    let input = unaligned(&mut case, "input", &inputs);
    let weight = case.input("weight", &weights);
    let out = Normed::Floats(case.output_f32("out", expected, TOLERANCE));
    case.dispatch([RmsNorm { rows, width, norm, input, weight, out }.dispatch()]);
    case
}

/// With weights so large or small that f16 does not hold the results as they are.
struct HalfCase {
    rows: usize,
    width: usize,
    /// Of the weights.
    scale: f32,
    /// Whether a residual is added first.
    added: bool,
    /// Whether the result is wanted as f32 too.
    floats: bool,
}

fn rms_norm_half(shape: HalfCase) -> Case {
    let HalfCase { rows, width, scale, added, floats } = shape;
    let name = if added { "add_rms_norm_half" } else { "rms_norm_half" };
    let beside = if floats { ", f32 too" } else { "" };
    let mut case = Case::new(format!("{name} {rows}x{width}, weights of {scale:e}{beside}"));
    let (inputs, residuals) = (values(rows * width, 1), values(rows * width, 2));
    let weights: Vec<f32> = values(width, 3).iter().map(|value| value * scale).collect();
    let mut sums = inputs.clone();
    if added {
        reference::add(&mut sums, &residuals);
    }
    let mut expected = vec![0.0; rows * width];
    reference::rms_norm(&sums, &weights, PLAIN, &mut expected);
    let (rounded, inverses) = twins::half_rows::scaled(&expected, width);
    let input = unaligned(&mut case, "input", &inputs);
    let residual = added.then(|| case.updated_f32("residual", &residuals, sums, Tolerance::EXACT));
    let weight = case.input("weight", &weights);
    let floats = floats.then(|| case.output_f32("out", expected, TOLERANCE));
    let tolerance = Tolerance { absolute: 1e-6, relative: 1e-3 };
    let halves = case.buffer("halves", vec![0xff; 2 * rows * width], Check::F16(rounded, tolerance));
    let inverse = case.output_f32("inverse", inverses, Tolerance::EXACT);
    let halves = HalfInput { halves, inverse };
    let out = floats.map_or(Normed::Halves(halves), |floats| Normed::Both(floats, halves));
    let norm = PLAIN;
    case.dispatch([match residual {
        Some(residual) => AddRmsNorm { rows, width, norm, input, residual, weight, out }.dispatch(),
        None => RmsNorm { rows, width, norm, input, weight, out }.dispatch(),
    }]);
    case
}

fn add_rms_norm(rows: usize, width: usize, norm: Norm) -> Case {
    let mut case = Case::new(format!("add_rms_norm {rows}x{width}"));
    let (inputs, residuals, weights) = (values(rows * width, 1), values(rows * width, 2), values(width, 3));
    let mut sums = residuals.clone();
    reference::add(&mut sums, &inputs);
    let mut expected = vec![0.0; rows * width];
    reference::rms_norm(&sums, &weights, norm, &mut expected);
    let input = unaligned(&mut case, "input", &inputs);
    let residual = case.updated_f32("residual", &residuals, sums, Tolerance::EXACT);
    let weight = case.input("weight", &weights);
    let out = case.output_f32("out", expected, TOLERANCE);
    let out = Normed::Floats(out);
    case.dispatch([AddRmsNorm { rows, width, norm, input, residual, weight, out }.dispatch()]);
    case
}

struct LayerNormCase {
    rows: usize,
    width: usize,
    with_bias: bool,
    added: bool,
    /// Added to every input.
    mean: f32,
}

fn layer_norm(shape: LayerNormCase) -> Case {
    let LayerNormCase { rows, width, with_bias, added, mean } = shape;
    let name = if added { "add_layer_norm" } else { "layer_norm" };
    let mut case = Case::new(format!("{name} {rows}x{width} around {mean}"));
    let mut inputs = values(rows * width, 1);
    inputs.iter_mut().for_each(|x| *x += mean);
    let (residuals, weights, biases) = (values(rows * width, 2), values(width, 3), values(width, 4));
    let mut sums = inputs.clone();
    if added {
        reference::add(&mut sums, &residuals);
    }
    let mut expected = vec![0.0; rows * width];
    let bias_values = with_bias.then_some(&biases[..]);
    twins::norm::layer_norm(&sums, &weights, bias_values, PLAIN, &mut expected);
    // The mean of rows around 600 is known to 6e-5, half a unit in the last place of it.
    let absolute = LAYER_TOLERANCE.absolute + 3e-7 * mean;
    let tolerance = Tolerance { absolute, ..LAYER_TOLERANCE };

    let input = unaligned(&mut case, "input", &inputs);
    let residual = added.then(|| case.updated_f32("residual", &residuals, sums, Tolerance::EXACT));
    let weight = case.input("weight", &weights);
    let bias = with_bias.then(|| unaligned(&mut case, "bias", &biases));
    let out = case.output_f32("out", expected, tolerance);
    let launch = LayerNorm { rows, width, norm: PLAIN, input, residual, weight, bias, out };
    case.dispatch([launch.dispatch()]);
    case
}
