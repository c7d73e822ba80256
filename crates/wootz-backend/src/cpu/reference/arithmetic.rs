//! Sums that are more exact than what they judge.

/// `Σ a[i] · b[i]`, added up in f64: its error is far below that of any f32 order of summation.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight partial sums so that the compiler may use vectors; in f64 the order decides nothing visible.
    let mut partial = [0.0_f64; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(&x, &y)| product(x, y)).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            partial[lane] += product(x[lane], y[lane]);
        }
    }
    (partial.iter().sum::<f64>() + rest) as f32
}

fn product(x: f32, y: f32) -> f64 {
    f64::from(x) * f64::from(y)
}
