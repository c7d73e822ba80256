//! What a list of measurements says.

use serde::Serialize;

/// A list of durations or rates, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// How many there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The least.
    pub lowest: f64,
    /// The greatest.
    pub highest: f64,
}

impl Distribution {
    /// Of a list in any order; `None` if it is empty.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values);
        let (&lowest, &highest) = (sorted.first()?, sorted.last()?);
        let at = |share| percentile(&sorted, share);
        Some(Self {
            count: sorted.len(),
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            lowest,
            highest,
        })
    }
}

/// The values in ascending order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The value below which this share (0 to 1) of an ascending, non-empty list lies: between two values, in proportion (as
/// `numpy.percentile` does by default). Of an empty list, zero.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place as usize;
    let above = (below + 1).min(last);
    let part = place - below as f64;
    sorted[below] + (sorted[above] - sorted[below]) * part
}

/// The middle of some values; `None` if there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| percentile(&sorted(values), 0.5))
}
