//! Rotary position embedding.

use wootz_spec::{Rope, RopePairing};

/// Rotates each head of each row by the row's position.
///
/// `heads` is `[rows, count, head_dim]`, `positions` `[rows]`, `factors` the checkpoint's divisors of the
/// frequencies (empty where it has none).
pub fn rope(heads: &mut [f32], head_dim: usize, positions: &[u32], rope: &Rope, factors: &[f32]) {
    let rotation = rope.rotation(factors);
    let row_width = heads.len() / positions.len();
    for (row, &position) in heads.chunks_exact_mut(row_width).zip(positions) {
        for head in row.chunks_exact_mut(head_dim) {
            for (pair, &frequency) in rotation.frequencies.iter().enumerate() {
                let (first, second) = match rope.pairing {
                    RopePairing::Halves => (pair, pair + rope.dims / 2),
                    RopePairing::Interleaved => (2 * pair, 2 * pair + 1),
                };
                // The product is rounded to f32 as Transformers rounds it: at position 100,000 that is visible.
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                let (sin, cos) = (sin as f32 * rotation.magnitude, cos as f32 * rotation.magnitude);
                let (x, y) = (head[first], head[second]);
                head[first] = x * cos - y * sin;
                head[second] = y * cos + x * sin;
            }
        }
    }
}
