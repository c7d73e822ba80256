//! Passes over all logits of a large vocabulary, written so that the compiler makes vectors of them.

/// Logits that are looked at together.
const LANES: usize = 16;

/// The greatest logit, or the place of the first that is NaN or plus infinity.
pub(super) fn greatest(logits: &[f32]) -> Result<f32, usize> {
    let mut best = [f32::NEG_INFINITY; LANES];
    let mut proper = [true; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            // False for NaN too.
            proper[lane] &= chunk[lane] < f32::INFINITY;
            best[lane] = if chunk[lane] > best[lane] { chunk[lane] } else { best[lane] };
        }
    }
    let all_proper = proper.iter().all(|&ok| ok) && rest.iter().all(|&logit| logit < f32::INFINITY);
    if !all_proper {
        return Err(logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY).unwrap_or(0));
    }
    Ok(best.iter().chain(rest).fold(f32::NEG_INFINITY, |best, &logit| best.max(logit)))
}

/// `exp(x)` for `x ≤ 0`, within 2e-7 of it (relative); 0 below -87, where f32 ends.
///
/// Cody and Waite's reduction to `[-ln 2 / 2, ln 2 / 2]`, and a Taylor polynomial of degree 7 there.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = clamped - power * LN2_HIGH - power * LN2_LOW;
    let high = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let polynomial = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * high)));
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x > -87.0 { polynomial * scale } else { 0.0 }
}

/// `Σ exp((logit - best) · scale)`: sixteen at a time as a tree in f32, those sums in f64.
pub(super) fn mass(logits: &[f32], best: f32, scale: f32) -> f64 {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut sum = 0.0f64;
    for chunk in chunks {
        let mut terms = [0.0f32; LANES];
        for lane in 0..LANES {
            terms[lane] = exp((chunk[lane] - best) * scale);
        }
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                terms[lane] += terms[lane + width];
            }
        }
        sum += f64::from(terms[0]);
    }
    sum + rest.iter().map(|&logit| f64::from(exp((logit - best) * scale))).sum::<f64>()
}

/// Appends `logits` to `out`, with minus infinity for every token whose bit of `words` (32 tokens each) is 0 or missing.
pub(super) fn masked(logits: &[f32], words: &[u32], out: &mut Vec<f32>) {
    let words = words.iter().copied().chain(std::iter::repeat(0));
    for (chunk, word) in logits.chunks(32).zip(words) {
        match word {
            // Most words of a mask are one of these two.
            0 => out.resize(out.len() + chunk.len(), f32::NEG_INFINITY),
            u32::MAX => out.extend_from_slice(chunk),
            _ => out.extend(
                chunk.iter().enumerate().map(
                    |(bit, &logit)| {
                        if word & (1 << bit) != 0 { logit } else { f32::NEG_INFINITY }
                    },
                ),
            ),
        }
    }
}

/// Whether any logit of a chunk is above `floor`.
pub(super) fn any_above(chunk: &[f32], floor: f32) -> bool {
    chunk.iter().fold(false, |any, &logit| any | (logit > floor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_as_exact_as_it_says() {
        let mut worst = 0.0f64;
        for step in 0..870_000 {
            let x = -(step as f32) * 1e-4;
            let right = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - right).abs() / right);
        }
        assert!(worst < 2e-7, "{worst}");
        assert_eq!((exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn the_greatest_is_found_and_what_is_no_number_named() {
        for length in 1..70 {
            let mut logits: Vec<f32> = (0..length).map(|i| ((i * 29) % 31) as f32).collect();
            let right = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(greatest(&logits), Ok(right));
            logits[length - 1] = f32::NAN;
            assert_eq!(greatest(&logits), Err(length - 1));
            logits[length / 2] = f32::INFINITY;
            assert_eq!(greatest(&logits), Err(length / 2));
        }
    }

    #[test]
    fn what_is_masked_is_impossible() {
        let logits: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let words = [u32::MAX, 0, 0b101];
        let mut out = Vec::new();
        masked(&logits, &words, &mut out);
        assert_eq!(out.len(), 100);
        for (token, logit) in out.into_iter().enumerate() {
            let allowed = token < 32 || token == 64 || token == 66;
            assert_eq!(logit, if allowed { token as f32 } else { f32::NEG_INFINITY });
        }
    }

    #[test]
    fn the_mass_is_the_sum() {
        let logits: Vec<f32> = (0..1003).map(|i| -((i * 37) % 101) as f32 / 7.0).collect();
        let right: f64 = logits.iter().map(|&x| (f64::from(x) * 0.5).exp()).sum();
        assert!((mass(&logits, 0.0, 0.5) / right - 1.0).abs() < 1e-6);
    }
}
