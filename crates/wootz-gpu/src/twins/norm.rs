//! Layer norm.

use wootz_spec::Norm;

/// `out[r] = (input[r] - mean) / √(variance + eps) · (weight + offset) + bias` for rows as wide as `weight`; sums in f64.
pub fn layer_norm(input: &[f32], weight: &[f32], bias: Option<&[f32]>, norm: Norm, out: &mut [f32]) {
    let width = weight.len();
    for (x, y) in input.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
        let scale = 1.0 / (variance + f64::from(norm.eps)).sqrt();
        for i in 0..width {
            let normed = (f64::from(x[i]) - mean) * scale * f64::from(weight[i] + norm.weight_offset);
            y[i] = (normed + bias.map_or(0.0, |bias| f64::from(bias[i]))) as f32;
        }
    }
}
