//! Root-mean-square norms of single rows.
#![allow(clippy::needless_range_loop)] // As in `elementwise`.

use super::simd::lanes::{Kernel, LANES, Lanes};

/// A norm's weight, its offset already added, and its epsilon.
#[derive(Debug, Clone)]
pub struct NormWeight {
    /// `[width]`.
    pub weight: Vec<f32>,
    /// Added to the mean square.
    pub eps: f32,
}

/// `out = input · rsqrt(mean(input²) + eps) · weight`, for one row.
pub struct RmsNorm<'a> {
    /// `[width]`.
    pub input: &'a [f32],
    /// The norm.
    pub norm: &'a NormWeight,
    /// `[width]`.
    pub out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let scale = inverse_rms(lanes, self.input, self.norm.eps);
        scaled(lanes, self.input, scale, &self.norm.weight, self.out);
    }
}

/// `residual += input`, then [`RmsNorm`] of it, for one row.
pub struct AddNorm<'a> {
    /// `[width]`, in place.
    pub residual: &'a mut [f32],
    /// `[width]`.
    pub input: &'a [f32],
    /// The norm.
    pub norm: &'a NormWeight,
    /// `[width]`.
    pub out: &'a mut [f32],
}

impl Kernel for AddNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        super::elementwise::add(lanes, self.residual, self.input);
        RmsNorm { input: self.residual, norm: self.norm, out: self.out }.run(lanes);
    }
}

/// [`RmsNorm`] of each head in place; heads are as wide as the norm's weight.
pub struct HeadNorm<'a> {
    /// `[heads][head_dim]`.
    pub heads: &'a mut [f32],
    /// The norm.
    pub norm: &'a NormWeight,
}

impl Kernel for HeadNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for head in self.heads.chunks_exact_mut(self.norm.weight.len()) {
            let scale = lanes.splat(inverse_rms(lanes, head, self.norm.eps));
            let (whole, rest) = head.as_chunks_mut::<LANES>();
            let (weights, weight_rest) = self.norm.weight.as_chunks::<LANES>();
            for (x, weight) in whole.iter_mut().zip(weights) {
                let y = lanes.mul(lanes.mul(lanes.load(x), scale), lanes.load(weight));
                lanes.store(x, y);
            }
            if !rest.is_empty() {
                let y = lanes.mul(lanes.mul(lanes.load_part(rest), scale), lanes.load_part(weight_rest));
                lanes.store_part(rest, y);
            }
        }
    }
}

/// `1 / sqrt(mean(x²) + eps)`. Squares are added in four vectors, element `i` in vector `i / 16 % 4`, which are
/// then added up as `(0 + 1) + (2 + 3)`.
#[inline(always)]
fn inverse_rms<L: Lanes>(lanes: L, x: &[f32], eps: f32) -> f32 {
    let mut sums = [lanes.splat(0.0); 4];
    let (whole, rest) = x.as_chunks::<LANES>();
    let (fours, single) = whole.as_chunks::<4>();
    for four in fours {
        for i in 0..4 {
            let x = lanes.load(&four[i]);
            sums[i] = lanes.fma(x, x, sums[i]);
        }
    }
    for (i, x) in single.iter().enumerate() {
        let x = lanes.load(x);
        sums[i] = lanes.fma(x, x, sums[i]);
    }
    if !rest.is_empty() {
        let x = lanes.load_part(rest);
        sums[single.len()] = lanes.fma(x, x, sums[single.len()]);
    }
    let total = lanes.sum(lanes.add(lanes.add(sums[0], sums[1]), lanes.add(sums[2], sums[3])));
    1.0 / (total / x.len() as f32 + eps).sqrt()
}

/// `out = x · scale · weight`.
#[inline(always)]
fn scaled<L: Lanes>(lanes: L, x: &[f32], scale: f32, weight: &[f32], out: &mut [f32]) {
    let scale = lanes.splat(scale);
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (weight, weight_rest) = weight.as_chunks::<LANES>();
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    let vectors = out.len();
    let (x, weight) = (&x[..vectors], &weight[..vectors]);
    for i in 0..vectors {
        lanes.store(&mut out[i], lanes.mul(lanes.mul(lanes.load(&x[i]), scale), lanes.load(&weight[i])));
    }
    if !out_rest.is_empty() {
        let y = lanes.mul(lanes.mul(lanes.load_part(x_rest), scale), lanes.load_part(weight_rest));
        lanes.store_part(out_rest, y);
    }
}
