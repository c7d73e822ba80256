//! What touches each element alone: activations, additions, rows picked out.

use wootz_spec::Activation;

/// `out = activation(gate) · up`, element by element.
pub fn gate_up(gate: &[f32], up: &[f32], activation: Activation, out: &mut [f32]) {
    for ((result, &g), &u) in out.iter_mut().zip(gate).zip(up) {
        *result = activate(g, activation) * u;
    }
}

fn activate(x: f32, activation: Activation) -> f32 {
    match activation {
        Activation::Silu => (f64::from(x) / (1.0 + f64::from(-x).exp())) as f32,
    }
}

/// `residual += input`.
pub fn add(residual: &mut [f32], input: &[f32]) {
    for (x, y) in residual.iter_mut().zip(input) {
        *x += y;
    }
}

/// `out[r] = table[tokens[r]] · scale`, for rows of `width`.
pub fn embed(table: &[f32], width: usize, tokens: &[u32], scale: f32, out: &mut [f32]) {
    for (&token, row) in tokens.iter().zip(out.chunks_exact_mut(width)) {
        let entry = &table[token as usize * width..][..width];
        for (result, x) in row.iter_mut().zip(entry) {
            *result = x * scale;
        }
    }
}

/// `out[s] = residual[rows[s]] + input[rows[s]]`, for rows of `width`.
pub fn gather_add(residual: &[f32], input: &[f32], width: usize, rows: &[u32], out: &mut [f32]) {
    for (&row, result) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let start = row as usize * width;
        result.copy_from_slice(&residual[start..start + width]);
        add(result, &input[start..start + width]);
    }
}
