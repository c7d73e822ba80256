//! Rows as f16: `kernels/common/half_rows.h`.

/// The power of two that a row is multiplied with before it is rounded to f16, by its greatest magnitude: 1 from 2⁻⁴ to 2¹⁵,
/// else what takes the greatest to 2¹⁴ and more, and no more than 2¹²⁷.
pub fn power(greatest: f32) -> f32 {
    if greatest == 0.0 || (0.0625..=32768.0).contains(&greatest) {
        return 1.0;
    }
    (14.0 - greatest.log2().floor()).min(127.0).exp2()
}

/// Rows of `width` times their powers, and one over each power.
pub fn scaled(rows: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let powers =
        rows.chunks_exact(width).map(|row| power(row.iter().fold(0.0, |most, value| most.max(value.abs()))));
    let powers: Vec<f32> = powers.collect();
    let scaled = rows.iter().enumerate().map(|(index, value)| value * powers[index / width]).collect();
    (scaled, powers.iter().map(|power| 1.0 / power).collect())
}
