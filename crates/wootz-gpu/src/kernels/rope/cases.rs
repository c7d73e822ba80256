//! The rope kernels beside their twins.

use wootz_backend::cache::CacheShape;
use wootz_backend::cpu::reference;
use wootz_backend::ops::Heads;
use wootz_spec::{Norm, Rope as RopeSpec, RopePairing, RopeScaling, YarnBounds};

use super::{HeadNorms, RopeWrite, Turn};
use crate::case::{Case, Tolerance, values};
use crate::kernels::attention::PagedCache;
use crate::kernels::kv_write::cases::{pool_after, slots};
use crate::twins::attention::Cells;

/// Elements are at most 1 and the magnitude at most 1.2. A sine of 4 units in the last place errs by 2.4e-7 at most, a
/// product and a sum by as much again.
const TURNED: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// Elements are at most 12 then. A sum of squares in another order differs by a few roundings, the rest of a norm is three of
/// them; and the same of a sine.
const NORMED: Tolerance = Tolerance { absolute: 1.2e-5, relative: 4e-6 };

/// The next f16 beside the right one, where the twin is about halfway between two.
const ROUNDED: Tolerance = Tolerance { absolute: 6e-6, relative: 9.8e-4 };

const NORM: Norm = Norm { eps: 1e-6, weight_offset: 1.0 };

struct RopeCase {
    positions: Vec<u32>,
    query_heads: usize,
    key_heads: usize,
    head_dim: usize,
    dims: usize,
    scaling: RopeScaling,
    normed: bool,
}

pub(super) fn cases() -> Vec<Case> {
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        bounds: YarnBounds::Whole,
        attention_factor: 1.138_629_4,
        original: 4096,
    };
    let llama3 = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
    let shape = |positions: &[u32], query_heads, key_heads, head_dim, dims, scaling| RopeCase {
        positions: positions.to_vec(),
        query_heads,
        key_heads,
        head_dim,
        dims,
        scaling,
        normed: false,
    };
    let long: Vec<u32> = (0..37).map(|row| 100 * row).collect();
    let shapes = [
        shape(&[0], 1, 1, 8, 8, RopeScaling::None),
        shape(&[3, 4, 131_071], 4, 2, 64, 64, RopeScaling::Linear(4.0)),
        shape(&[1_000_003, 7], 7, 1, 128, 128, llama3),
        shape(&[65_535, 1, 2, 9], 3, 3, 80, 32, yarn),
        shape(&[100_000], 5, 1, 96, 96, RopeScaling::Factors),
        shape(&[8191, 5], 2, 1, 256, 256, RopeScaling::None),
        shape(&[5; 16], 5, 2, 32, 16, RopeScaling::None),
        shape(&long, 2, 2, 80, 80, RopeScaling::None),
        RopeCase { normed: true, ..shape(&[77], 8, 2, 128, 128, RopeScaling::None) },
        RopeCase { normed: true, ..shape(&[1, 50_000, 3], 2, 1, 256, 256, RopeScaling::None) },
        RopeCase { normed: true, ..shape(&long[..19], 3, 1, 80, 32, RopeScaling::None) },
        // Nothing turns, so that keys are exact.
        shape(&[0; 5], 4, 3, 64, 64, RopeScaling::None),
    ];
    let pairings = [RopePairing::Halves, RopePairing::Interleaved];
    shapes.iter().flat_map(|shape| pairings.map(|pairing| rope_case(shape, pairing))).collect()
}

fn rope_case(shape: &RopeCase, pairing: RopePairing) -> Case {
    let &RopeCase { query_heads, key_heads, head_dim, normed, .. } = shape;
    let (rows, positions) = (shape.positions.len(), &shape.positions);
    let mut case = Case::new(format!(
        "rope {pairing:?} {rows} rows, {query_heads} and {key_heads} heads of {head_dim}, {} turned by {:?}{}",
        shape.dims,
        shape.scaling,
        if normed { ", normed" } else { "" }
    ));
    let spec = RopeSpec { theta: 500_000.0, dims: shape.dims, pairing, scaling: shape.scaling.clone() };
    let factors: Vec<f32> = (0..shape.dims / 2).map(|pair| 1.0 + pair as f32 / 16.0).collect();
    let rotation = spec.rotation(&factors);
    let turned = |before: &[f32], weights: &[f32]| {
        let mut heads = before.to_vec();
        if normed {
            reference::head_norm(&mut heads, weights, NORM);
        }
        reference::rope(&mut heads, head_dim, positions, &spec, &factors);
        heads
    };
    let [queries, keys, value_heads] = [(query_heads, 1), (key_heads, 2), (key_heads, 3)]
        .map(|(heads, seed)| values(rows * heads * head_dim, seed));
    let [query_weights, key_weights] = [4, 5].map(|seed| values(head_dim, seed));

    let cache_shape = CacheShape { layers: 2, kv_heads: key_heads, head_dim };
    let (cells, layer) = (Cells::KeysAndValues(cache_shape), 1);
    let (row_slots, pages) = slots(rows);
    let turned_keys = turned(&keys, &key_weights);
    let written = (0..turned_keys.len()).flat_map(|index| {
        let (row, head, dim) =
            (index / (key_heads * head_dim), index / head_dim % key_heads, index % head_dim);
        let slot = row_slots[row] as usize;
        [
            (cells.key(slot, layer, head, dim), turned_keys[index]),
            (cells.value(slot, layer, head, dim), value_heads[index]),
        ]
    });
    let still = !normed && positions.iter().all(|&position| position == 0);
    let pool_tolerance = if still { Tolerance::EXACT } else { ROUNDED };
    let pool = pool_after(&mut case, pages * cache_shape.page_elements(), written, pool_tolerance);

    let query_tolerance = if normed { NORMED } else { TURNED };
    let query = case.updated_f32("query", &queries, turned(&queries, &query_weights), query_tolerance);
    let norms = normed.then(|| HeadNorms {
        norm: NORM,
        query_weight: case.input("query weight", &query_weights),
        key_weight: case.input("key weight", &key_weights),
    });
    let launch = RopeWrite {
        rows,
        query,
        query_heads: Heads { count: query_heads, dim: head_dim },
        key: case.input("key", &keys),
        value: case.input("value", &value_heads),
        norms,
        turn: Turn {
            pairing,
            pairs: shape.dims / 2,
            frequencies: case.input("frequencies", &rotation.frequencies),
            magnitude: rotation.magnitude,
        },
        positions: case.input("positions", positions),
        slots: case.input("slots", &row_slots),
        cache: PagedCache { pool, shape: cache_shape },
        layer,
    };
    case.dispatch([launch.dispatch()]);
    case
}
