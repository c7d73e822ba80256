//! Mixture of experts beside its twins.

use wootz_weights::TensorType;

use super::{Combine, ExpertGemv, ExpertGroups, GatherPairs, GroupScore, Route, Routing, Scoring, SortPairs};
use crate::case::{Case, Check, Tolerance, values};
use crate::device::Slice;
use crate::formats::sample::Sample;
use crate::formats::{Family, readable};
use crate::kernels::matrix::MatrixFormat;
use crate::twins::moe;

/// An exp and a sum of some hundred of them, two divisions: a few roundings each, relative to the weight.
const ROUTE_TOLERANCE: Tolerance = Tolerance { absolute: 1e-9, relative: 3e-6 };

/// Up to nine products of factors of at most 1, each rounded twice.
const COMBINE_TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

pub(super) fn cases() -> Vec<Case> {
    let plain = Routing {
        experts: 8,
        slots: 2,
        scoring: Scoring::Softmax,
        groups: None,
        normalised: true,
        scale: 1.0,
    };
    let sigmoid = Routing { experts: 100, slots: 6, scoring: Scoring::Sigmoid, scale: 2.5, ..plain };
    let best_two = ExpertGroups { count: 8, kept: 4, by: GroupScore::BestTwo };
    let best = ExpertGroups { count: 5, kept: 2, by: GroupScore::Best };
    let mut cases = vec![
        route_case(plain, 5, false),
        route_case(Routing { experts: 1, slots: 1, ..plain }, 1, false),
        route_case(Routing { experts: 512, slots: 10, normalised: false, ..plain }, 2, false),
        route_case(sigmoid, 3, true),
        route_case(Routing { groups: Some(best), ..sigmoid }, 2, false),
        route_case(Routing { experts: 256, slots: 8, groups: Some(best_two), ..sigmoid }, 3, true),
        route_case(Routing { experts: 33, slots: 32, ..plain }, 2, true),
    ];
    cases.push(broken_route());
    cases.extend(
        [(1, 1), (7, 3), (64, 8), (130, 60), (40, 512)].map(|(pairs, experts)| sort_case(pairs, experts)),
    );
    cases.extend([(1, 1, 1, false), (5, 2, 37, true), (3, 8, 130, true)].map(pairs_case));
    let formats = readable().filter(|&format| {
        let family = Family::of(format);
        matches!(
            family,
            Some(Family::Plain | Family::Legacy | Family::K | Family::Fp4 | Family::Affine(4 | 8))
        )
    });
    cases.extend(formats.enumerate().map(|(index, format)| gemv_case(format, index)));
    for kind in [TensorType::F32, TensorType::F16, TensorType::BF16] {
        cases.push(loose_case(MatrixFormat::Ggml(kind)));
    }
    cases
}

fn exactly(case: &mut Case, name: &'static str, expected: &[u32]) -> Slice {
    let bytes: Vec<u8> = bytemuck::cast_slice(expected).to_vec();
    case.buffer(name, vec![0xff; bytes.len()], Check::Bytes(bytes))
}

fn route_case(routing: Routing, rows: usize, with_bias: bool) -> Case {
    let routing = routing.checked().expect("a kernel routes so");
    let Routing { experts, slots, .. } = routing;
    let mut case = Case::new(format!("moe_route {rows} rows, {routing:?}"));
    let logits: Vec<f32> = values(rows * experts, 1).iter().map(|value| 4.0 * value).collect();
    let biases = values(experts, 2);
    let bias = with_bias.then_some(&biases[..]);
    let routed: Vec<(u32, f32)> =
        logits.chunks_exact(experts).flat_map(|row| moe::route(row, bias, &routing)).collect();
    let (chosen, weights): (Vec<u32>, Vec<f32>) = routed.into_iter().unzip();
    assert_eq!(chosen.len(), rows * slots);
    let launch = Route {
        rows,
        routing,
        logits: case.input("logits", &logits),
        selection_bias: with_bias.then(|| case.input("selection bias", &biases)),
        chosen: exactly(&mut case, "chosen", &chosen),
        weights: case.output_f32("weights", weights, ROUTE_TOLERANCE),
    };
    case.dispatch([launch.dispatch()]);
    case
}

/// Logits that are no numbers: the weights are none either, and the experts some that exist, so that nothing reads outside.
fn broken_route() -> Case {
    let routing = Routing {
        experts: 40,
        slots: 2,
        scoring: Scoring::Softmax,
        groups: None,
        normalised: true,
        scale: 1.0,
    };
    let mut case = Case::new("moe_route of a NaN");
    let mut logits = values(routing.experts, 1);
    logits[3] = f32::NAN;
    let launch = Route {
        rows: 1,
        routing,
        logits: case.input("logits", &logits),
        selection_bias: None,
        chosen: exactly(&mut case, "chosen", &[39, 39]),
        weights: case.output_f32("weights", vec![f32::NAN; 2], Tolerance::EXACT),
    };
    case.dispatch([launch.dispatch()]);
    case
}

/// `count` experts out of `experts`, some of them never.
fn some_experts(count: usize, experts: usize, seed: u64) -> Vec<u32> {
    let expert = |value: f32| ((value * value * experts as f32) as u32).min(experts as u32 - 1);
    values(count, seed).into_iter().map(expert).collect()
}

fn sort_case(pairs: usize, experts: usize) -> Case {
    let mut case = Case::new(format!("moe_sort {pairs} pairs, {experts} experts"));
    let chosen = some_experts(pairs, experts, 3);
    let (sorted, offsets) = moe::sort(&chosen, experts);
    let launch = SortPairs {
        pairs,
        experts,
        chosen: case.input("chosen", &chosen),
        offsets: exactly(&mut case, "offsets", &offsets),
        places: exactly(&mut case, "places", &inverse(&sorted)),
        sorted: exactly(&mut case, "sorted", &sorted),
    };
    case.dispatch([launch.dispatch()]);
    case
}

fn inverse(sorted: &[u32]) -> Vec<u32> {
    let mut places = vec![0; sorted.len()];
    for (place, &pair) in sorted.iter().enumerate() {
        places[pair as usize] = place as u32;
    }
    places
}

/// Gathers rows in the order of their experts, and combines the gathered rows as if they were results; without
/// `added` results stay in the order of pairs.
fn pairs_case((rows, slots, width, added): (usize, usize, usize, bool)) -> Case {
    let mut case = Case::new(format!("moe_gather and moe_combine {rows}x{slots}, rows of {width}"));
    let (inputs, weights, others) =
        (values(rows * width, 1), values(rows * slots, 2), values(rows * width, 3));
    let pairs = rows * slots;
    let (sorted, _) = moe::sort(&some_experts(pairs, 6, 4), 6);
    let input_row = |pair: usize| &inputs[pair / slots * width..][..width];
    let gathered: Vec<f32> = sorted.iter().flat_map(|&pair| input_row(pair as usize)).copied().collect();
    let by_pair: Vec<f32> =
        if added { (0..pairs).flat_map(input_row).copied().collect() } else { gathered.clone() };
    let combined = moe::combine(&by_pair, &weights, slots, added.then_some(&others[..]));
    let gather = GatherPairs {
        pairs,
        slots,
        width,
        input: case.input("input", &inputs),
        sorted: case.input("sorted", &sorted),
        out: case.output_f32("gathered", gathered, Tolerance::EXACT),
    };
    let combine = Combine {
        rows,
        slots,
        width,
        results: gather.out,
        weights: case.input("weights", &weights),
        places: added.then(|| case.input("places", &inverse(&sorted))),
        added: added.then(|| case.input("shared expert", &others)),
        out: case.output_f32("out", combined, COMBINE_TOLERANCE),
    };
    case.dispatch([gather.dispatch(), combine.dispatch()]);
    case
}

/// Two blocks a row, so that lanes have none, one or several packets; outputs that fill no simdgroup.
fn gemv_case(format: MatrixFormat, index: usize) -> Case {
    let columns = format.block_elements().max(32) * 2;
    product_case(Product { format, columns, outputs: 5 + index % 3, shift: 0, with_bias: index % 2 == 1 })
}

/// Rows of an odd number of columns, from an odd place on.
fn loose_case(format: MatrixFormat) -> Case {
    product_case(Product { format, columns: 141, outputs: 6, shift: 1, with_bias: true })
}

struct Product {
    format: MatrixFormat,
    columns: usize,
    outputs: usize,
    shift: usize,
    with_bias: bool,
}

fn product_case(product: Product) -> Case {
    let Product { format, columns, outputs, shift, with_bias } = product;
    let (rows, slots, experts) = (2, 2, 3);
    let mut case = Case::new(format!("moe_gemv {format}, {experts} experts of {outputs}x{columns}"));
    let matrix = Sample::new(format, experts * outputs, columns, 7);
    let inputs = values(rows * columns, 8);
    let biases = values(experts * outputs, 9);
    let chosen: Vec<u32> = vec![2, 0, 1, 2];
    let mut expected = moe::expert_products(&inputs, slots, &matrix.decoded, (outputs, columns), &chosen);
    if with_bias {
        for (pair, &expert) in chosen.iter().enumerate() {
            for output in 0..outputs {
                expected[pair * outputs + output] += biases[expert as usize * outputs + output];
            }
        }
    }
    // Each weight may be off by a few roundings of the largest (see Sample::tolerance), and so may each sum be of up to 512
    // products of it with inputs of at most 1: errors of both kinds have no one sign.
    let per_weight = matrix.tolerance().absolute;
    let tolerance = Tolerance { absolute: per_weight * (columns as f32).sqrt() * 2.0 + 1e-6, relative: 2e-6 };
    let launch = ExpertGemv {
        pairs: rows * slots,
        pairs_per_row: slots,
        outputs,
        matrix: matrix.store(&mut case, shift),
        input: case.input("input", &inputs),
        bias: with_bias.then(|| case.input("bias", &biases)),
        experts: case.input("experts", &chosen),
        out: case.output_f32("out", expected, tolerance),
    };
    case.dispatch([launch.dispatch().expect("a kernel reads the format")]);
    case
}
