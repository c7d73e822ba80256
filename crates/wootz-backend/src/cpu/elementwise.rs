//! What touches each element alone.
//!
//! Loops over several slices go by an index: the adapters of iterators over three and more are not always inlined, and
//! rows are short.
#![allow(clippy::needless_range_loop)]

use wootz_spec::Activation;

use super::simd::lanes::{Kernel, LANES, Lanes};

/// `to += from`.
#[inline(always)]
pub fn add<L: Lanes>(lanes: L, to: &mut [f32], from: &[f32]) {
    let (to, to_rest) = to.as_chunks_mut::<LANES>();
    let (from, from_rest) = from.as_chunks::<LANES>();
    let vectors = to.len();
    let from = &from[..vectors];
    for i in 0..vectors {
        let sum = lanes.add(lanes.load(&to[i]), lanes.load(&from[i]));
        lanes.store(&mut to[i], sum);
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to += from;
    }
}

/// `out = left + right`, for one row.
pub struct Sum<'a> {
    /// `[width]`.
    pub left: &'a [f32],
    /// `[width]`.
    pub right: &'a [f32],
    /// `[width]`.
    pub out: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.out.copy_from_slice(self.left);
        add(lanes, self.out, self.right);
    }
}

/// `out = activation(gate) · up`, for part of a row.
pub struct Gate<'a> {
    /// The gate, before its activation.
    pub gate: &'a [f32],
    /// As long as `gate`.
    pub up: &'a [f32],
    /// The gate's activation.
    pub activation: Activation,
    /// As long as `gate`.
    pub out: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Activation::Silu = self.activation;
        let (gate, gate_rest) = self.gate.as_chunks::<LANES>();
        let (up, up_rest) = self.up.as_chunks::<LANES>();
        let (out, out_rest) = self.out.as_chunks_mut::<LANES>();
        let vectors = out.len();
        let (gate, up) = (&gate[..vectors], &up[..vectors]);
        for i in 0..vectors {
            lanes.store(&mut out[i], lanes.mul(lanes.silu(lanes.load(&gate[i])), lanes.load(&up[i])));
        }
        if !out_rest.is_empty() {
            let product = lanes.mul(lanes.silu(lanes.load_part(gate_rest)), lanes.load_part(up_rest));
            lanes.store_part(out_rest, product);
        }
    }
}

/// `row *= factor`.
pub struct Scale<'a> {
    /// In place.
    pub row: &'a mut [f32],
    /// The factor.
    pub factor: f32,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let factor = lanes.splat(self.factor);
        let (whole, rest) = self.row.as_chunks_mut::<LANES>();
        for x in whole {
            let scaled = lanes.mul(lanes.load(x), factor);
            lanes.store(x, scaled);
        }
        for x in rest {
            *x *= self.factor;
        }
    }
}
