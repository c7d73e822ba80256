//! What touches each element alone.

use wootz_spec::Activation;

use super::simd::lanes::{Kernel, LANES, Lanes};

/// `to += from`.
#[inline(always)]
pub fn add<L: Lanes>(lanes: L, to: &mut [f32], from: &[f32]) {
    let (to, to_rest) = to.as_chunks_mut::<LANES>();
    let (from, from_rest) = from.as_chunks::<LANES>();
    for (to, from) in to.iter_mut().zip(from) {
        let sum = lanes.add(lanes.load(to), lanes.load(from));
        lanes.store(to, sum);
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

/// `gate = activation(gate) · up`, for part of a row.
pub struct Gate<'a> {
    /// In place.
    pub gate: &'a mut [f32],
    /// As long as `gate`.
    pub up: &'a [f32],
    /// The gate's activation.
    pub activation: Activation,
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Activation::Silu = self.activation;
        let (gate, gate_rest) = self.gate.as_chunks_mut::<LANES>();
        let (up, up_rest) = self.up.as_chunks::<LANES>();
        for (gate, up) in gate.iter_mut().zip(up) {
            let product = lanes.mul(lanes.silu(lanes.load(gate)), lanes.load(up));
            lanes.store(gate, product);
        }
        if !gate_rest.is_empty() {
            let product = lanes.mul(lanes.silu(lanes.load_part(gate_rest)), lanes.load_part(up_rest));
            lanes.store_part(gate_rest, product);
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
