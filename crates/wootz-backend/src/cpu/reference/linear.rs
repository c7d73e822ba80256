//! Matrix times rows.

use super::arithmetic::dot;

/// `out[r][o] = Σ_i matrix[o][i] · input[r][i] + bias[o]`.
///
/// `matrix` is `[outputs, inputs]`, `input` `[rows, inputs]`, `bias` `[outputs]`, `out` `[rows, outputs]`.
pub fn linear(input: &[f32], inputs: usize, matrix: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let outputs = matrix.len() / inputs;
    for (x, y) in input.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
        for (o, weights) in matrix.chunks_exact(inputs).enumerate() {
            y[o] = dot(x, weights) + bias.map_or(0.0, |bias| bias[o]);
        }
    }
}
