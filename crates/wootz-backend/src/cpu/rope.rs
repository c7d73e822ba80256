//! Rotary position embedding: a step's angles once for all layers, then rotations by vectors.
#![allow(clippy::needless_range_loop)] // As in `elementwise`.

use wootz_spec::{Rope, RopePairing, Rotation};

use super::simd::lanes::{Kernel, LANES, Lanes};

/// The rotations that a model's layers share, ready to be turned into cosines and sines.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeTable {
    /// Leading elements of a head that turn.
    pub dims: usize,
    pairing: RopePairing,
    rotation: Rotation,
}

impl RopeTable {
    /// The rotation of `rope` with the checkpoint's divisors, if it has any.
    pub fn new(rope: &Rope, factors: &[f32]) -> Self {
        Self { dims: rope.dims, pairing: rope.pairing, rotation: rope.rotation(factors) }
    }

    /// Elements that [`RopeTable::fill`] writes for a position.
    pub fn width(&self) -> usize {
        match self.pairing {
            RopePairing::Halves => self.dims,
            RopePairing::Interleaved => 2 * self.dims,
        }
    }

    /// The cosines and sines at `position`. For halves `[dims / 2]` of each; for interleaved pairs `[dims]` of
    /// each, every cosine twice, every sine first negative and then positive.
    pub fn fill(&self, position: u32, out: &mut [f32]) {
        let (cosines, sines) = out.split_at_mut(self.width() / 2);
        for (pair, &frequency) in self.rotation.frequencies.iter().enumerate() {
            // The product is rounded to f32 as Transformers rounds it.
            let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
            let (sin, cos) = (sin as f32 * self.rotation.magnitude, cos as f32 * self.rotation.magnitude);
            match self.pairing {
                RopePairing::Halves => (cosines[pair], sines[pair]) = (cos, sin),
                RopePairing::Interleaved => {
                    cosines[2 * pair..2 * pair + 2].copy_from_slice(&[cos, cos]);
                    sines[2 * pair..2 * pair + 2].copy_from_slice(&[-sin, sin]);
                }
            }
        }
    }

    /// The kernel that rotates `heads` `[count][head_dim]` by what `fill` wrote.
    pub fn rotate<'a>(&self, heads: &'a mut [f32], head_dim: usize, turns: &'a [f32]) -> Rotate<'a> {
        Rotate { heads, head_dim, dims: self.dims, pairing: self.pairing, turns }
    }
}

/// Rotates the heads of one row in place.
pub struct Rotate<'a> {
    heads: &'a mut [f32],
    head_dim: usize,
    dims: usize,
    pairing: RopePairing,
    turns: &'a [f32],
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (cosines, sines) = self.turns.split_at(self.turns.len() / 2);
        for head in self.heads.chunks_exact_mut(self.head_dim) {
            let head = &mut head[..self.dims];
            match self.pairing {
                RopePairing::Halves => {
                    let (first, second) = head.split_at_mut(self.dims / 2);
                    halves(lanes, (first, second), cosines, sines);
                }
                RopePairing::Interleaved => interleaved(lanes, head, cosines, sines),
            }
        }
    }
}

/// `(x, y)` → `(x·cos - y·sin, y·cos + x·sin)`.
#[inline(always)]
fn halves<L: Lanes>(lanes: L, (first, second): (&mut [f32], &mut [f32]), cosines: &[f32], sines: &[f32]) {
    let (first, first_rest) = first.as_chunks_mut::<LANES>();
    let (second, second_rest) = second.as_chunks_mut::<LANES>();
    let (cosines, cosines_rest) = cosines.as_chunks::<LANES>();
    let (sines, sines_rest) = sines.as_chunks::<LANES>();
    let vectors = first.len();
    let (second, cosines, sines) = (&mut second[..vectors], &cosines[..vectors], &sines[..vectors]);
    for i in 0..vectors {
        let pair = (lanes.load(&first[i]), lanes.load(&second[i]));
        let (x, y) = turn(lanes, pair, lanes.load(&cosines[i]), lanes.load(&sines[i]));
        lanes.store(&mut first[i], x);
        lanes.store(&mut second[i], y);
    }
    if !first_rest.is_empty() {
        let pair = (lanes.load_part(first_rest), lanes.load_part(second_rest));
        let (x, y) = turn(lanes, pair, lanes.load_part(cosines_rest), lanes.load_part(sines_rest));
        lanes.store_part(first_rest, x);
        lanes.store_part(second_rest, y);
    }
}

#[inline(always)]
fn turn<L: Lanes>(lanes: L, (x, y): (L::F, L::F), cos: L::F, sin: L::F) -> (L::F, L::F) {
    let first = lanes.sub(lanes.mul(x, cos), lanes.mul(y, sin));
    (first, lanes.add(lanes.mul(y, cos), lanes.mul(x, sin)))
}

/// The same for pairs of neighbours; the sines of the first of a pair are negative.
#[inline(always)]
fn interleaved<L: Lanes>(lanes: L, head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (whole, rest) = head.as_chunks_mut::<LANES>();
    let (cosines, cosines_rest) = cosines.as_chunks::<LANES>();
    let (sines, sines_rest) = sines.as_chunks::<LANES>();
    let vectors = whole.len();
    let (cosines, sines) = (&cosines[..vectors], &sines[..vectors]);
    for i in 0..vectors {
        let old = lanes.load(&whole[i]);
        let swapped = lanes.mul(lanes.swap_pairs(old), lanes.load(&sines[i]));
        lanes.store(&mut whole[i], lanes.add(lanes.mul(old, lanes.load(&cosines[i])), swapped));
    }
    if !rest.is_empty() {
        let old = lanes.load_part(rest);
        let swapped = lanes.mul(lanes.swap_pairs(old), lanes.load_part(sines_rest));
        let new = lanes.add(lanes.mul(old, lanes.load_part(cosines_rest)), swapped);
        lanes.store_part(rest, new);
    }
}
