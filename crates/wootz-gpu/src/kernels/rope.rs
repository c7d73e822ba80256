//! Rotary position embedding: `kernels/rope.metal`.

use arrayvec::ArrayVec;
use wootz_backend::cpu::reference;
use wootz_backend::ops::Heads;
use wootz_spec::{Rope as RopeSpec, RopePairing, RopeScaling, YarnBounds};

use super::Concept;
use crate::case::{Case, Tolerance, values};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

/// The rope kernels.
pub const CONCEPT: Concept = Concept { name: "rope", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "rope.metal",
    text: include_str!("../../../../kernels/rope.metal"),
    arguments: &[RopeArguments::MSL],
}];

kernel_args! {
    /// Arguments of the rope kernels.
    pub struct RopeArguments {
        /// How many rows.
        rows: u32,
        /// Query heads of a row.
        query_heads: u32,
        /// Key heads of a row.
        key_heads: u32,
        /// Elements in a head.
        head_dim: u32,
        /// Pairs of a head that are turned.
        pairs: u32,
        /// Factor on cos and sin.
        magnitude: f32,
    }
}

const THREADS: u32 = 128;
/// Heads that a thread turns: `HEADS` of the kernel.
const HEADS_PER_THREAD: usize = 4;

/// Rotates the heads of q and k in place by each row's position.
#[derive(Debug, Clone, Copy)]
pub struct Rope {
    /// How many rows.
    pub rows: usize,
    /// `[rows, query_heads]`, updated.
    pub query: Slice,
    /// The query heads of a row.
    pub query_heads: Heads,
    /// `[rows, key_heads]`, updated.
    pub key: Slice,
    /// The key heads of a row; as wide as the query heads.
    pub key_heads: Heads,
    /// Which elements form a pair.
    pub pairing: RopePairing,
    /// How many pairs of a head are turned: half of [`wootz_spec::Rope::dims`].
    pub pairs: usize,
    /// `[pairs]` f32: `frequencies` of [`wootz_spec::Rope::rotation`].
    pub frequencies: Slice,
    /// `magnitude` of [`wootz_spec::Rope::rotation`].
    pub magnitude: f32,
    /// `[rows]` u32.
    pub positions: Slice,
}

impl Rope {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let heads = self.query_heads.count + self.key_heads.count;
        let arguments = RopeArguments {
            rows: self.rows as u32,
            query_heads: self.query_heads.count as u32,
            key_heads: self.key_heads.count as u32,
            head_dim: self.query_heads.dim as u32,
            pairs: self.pairs as u32,
            magnitude: self.magnitude,
        };
        let threads = self.rows * heads.div_ceil(HEADS_PER_THREAD) * self.pairs;
        let turned = (self.rows * heads * self.pairs) as u64;
        Dispatch {
            kernel: Kernel {
                source: &SOURCES[0],
                entry: match self.pairing {
                    RopePairing::Halves => "rope_halves",
                    RopePairing::Interleaved => "rope_interleaved",
                },
            },
            arguments: ArrayVec::from_iter([
                Argument::update(self.query),
                Argument::update(self.key),
                Argument::read(self.frequencies),
                Argument::read(self.positions),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [threads.div_ceil(THREADS as usize) as u32, 1, 1],
                threads: [THREADS, 1, 1],
            },
            work: Work {
                bytes_read: 8 * turned + 4 * (self.pairs + self.rows) as u64,
                bytes_written: 8 * turned,
                operations: 6 * turned,
            },
        }
    }
}

/// Elements are at most 1 and the magnitude at most 1.2. A sine of 4 units in the last place errs by 2.4e-7 at most, a
/// product and a sum by as much again.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

struct RopeCase {
    positions: &'static [u32],
    query_heads: usize,
    key_heads: usize,
    head_dim: usize,
    dims: usize,
    theta: f32,
    scaling: RopeScaling,
}

fn cases() -> Vec<Case> {
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        bounds: YarnBounds::Whole,
        attention_factor: 1.138_629_4,
        original: 4096,
    };
    let llama3 = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
    let shape = |positions, query_heads, key_heads, head_dim, dims, scaling| RopeCase {
        positions,
        query_heads,
        key_heads,
        head_dim,
        dims,
        theta: 500_000.0,
        scaling,
    };
    let shapes = [
        shape(&[0], 1, 1, 2, 2, RopeScaling::None),
        shape(&[3, 4, 131_071], 4, 2, 64, 64, RopeScaling::Linear(4.0)),
        shape(&[1_000_003, 7], 7, 1, 128, 128, llama3),
        shape(&[65_535, 1, 2, 9], 3, 3, 80, 32, yarn),
        shape(&[100_000], 5, 0, 96, 96, RopeScaling::Factors),
        shape(&[8191, 5], 2, 1, 256, 256, RopeScaling::None),
    ];
    let pairings = [RopePairing::Halves, RopePairing::Interleaved];
    shapes.iter().flat_map(|shape| pairings.map(|pairing| rope_case(shape, pairing))).collect()
}

fn rope_case(shape: &RopeCase, pairing: RopePairing) -> Case {
    let (rows, dim) = (shape.positions.len(), shape.head_dim);
    let mut case = Case::new(format!(
        "rope {pairing:?} {rows} rows, {} and {} heads of {dim}, {} turned by {:?}",
        shape.query_heads, shape.key_heads, shape.dims, shape.scaling
    ));
    let spec = RopeSpec { theta: shape.theta, dims: shape.dims, pairing, scaling: shape.scaling.clone() };
    let factors: Vec<f32> = (0..shape.dims / 2).map(|pair| 1.0 + pair as f32 / 16.0).collect();
    let rotation = spec.rotation(&factors);
    let mut heads = |name, count: usize, seed| {
        let before = values(rows * count * dim, seed);
        let mut expected = before.clone();
        if count > 0 {
            reference::rope(&mut expected, dim, shape.positions, &spec, &factors);
        }
        (case.updated_f32(name, &before, expected, TOLERANCE), Heads { count, dim })
    };
    let (query, query_heads) = heads("query", shape.query_heads, 1);
    let (key, key_heads) = heads("key", shape.key_heads, 2);
    let frequencies = case.input("frequencies", &rotation.frequencies);
    let positions = case.input("positions", shape.positions);
    let launch = Rope {
        rows,
        query,
        query_heads,
        key,
        key_heads,
        pairing,
        pairs: shape.dims / 2,
        frequencies,
        magnitude: rotation.magnitude,
        positions,
    };
    case.dispatch([launch.dispatch()]);
    case
}
