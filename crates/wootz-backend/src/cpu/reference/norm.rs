//! Root-mean-square norms.

use wootz_spec::Norm;

use super::arithmetic::dot;

/// `out[r] = input[r] · rsqrt(mean(input[r]²) + eps) · (weight + offset)` for rows as wide as `weight`.
pub fn rms_norm(input: &[f32], weight: &[f32], norm: Norm, out: &mut [f32]) {
    let width = weight.len();
    for (x, y) in input.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let scale = inverse_rms(x, norm.eps);
        for i in 0..width {
            y[i] = x[i] * scale * (weight[i] + norm.weight_offset);
        }
    }
}

/// The same in place, for each head of each row: heads are as wide as `weight`.
pub fn head_norm(heads: &mut [f32], weight: &[f32], norm: Norm) {
    for head in heads.chunks_exact_mut(weight.len()) {
        let scale = inverse_rms(head, norm.eps);
        for (x, w) in head.iter_mut().zip(weight) {
            *x *= scale * (w + norm.weight_offset);
        }
    }
}

fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mean_square = dot(x, x) / x.len() as f32;
    1.0 / (mean_square + eps).sqrt()
}
