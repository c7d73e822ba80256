//! What several repeats of one measurement say.

use serde::Serialize;

/// The middle and the spread of some rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Half of the repeats were slower.
    pub median: f64,
    /// The slowest.
    pub lowest: f64,
    /// The fastest.
    pub highest: f64,
}

impl Summary {
    /// Of at least one rate; of none, all are zero.
    pub fn of(rates: &[f64]) -> Self {
        let mut sorted = rates.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let count = sorted.len();
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let median = if count % 2 == 1 {
            at(count / 2)
        } else {
            (at((count / 2).saturating_sub(1)) + at(count / 2)) / 2.0
        };
        Self { median, lowest: at(0), highest: at(count.saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Summary { median: 2.0, lowest: 1.0, highest: 3.0 });
        assert_eq!(Summary::of(&[4.0, 1.0]).median, 2.5);
        assert_eq!(Summary::of(&[5.0]), Summary { median: 5.0, lowest: 5.0, highest: 5.0 });
        assert_eq!(Summary::of(&[]).median, 0.0);
    }
}
