//! Durations counted in fixed buckets.

use std::time::Duration;

/// How many upper bounds a histogram has.
pub const BUCKETS: usize = 20;

/// Bounds for what is as long as a step, in seconds.
const STEP_BOUNDS: [f64; BUCKETS] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2,
    0.3, 0.5, 1.0, 5.0,
];

/// Bounds for what people wait for, in seconds.
const WAIT_BOUNDS: [f64; BUCKETS] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0,
    60.0, 300.0,
];

/// Durations, counted by the bucket that they fall in.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64; BUCKETS],
    counts: [u64; BUCKETS + 1],
    sum: f64,
}

impl Histogram {
    /// An empty one, finest between 1 ms and 100 ms.
    pub fn of_steps() -> Self {
        Self { bounds: &STEP_BOUNDS, counts: [0; BUCKETS + 1], sum: 0.0 }
    }

    /// An empty one that reaches to minutes.
    pub fn of_waits() -> Self {
        Self { bounds: &WAIT_BOUNDS, counts: [0; BUCKETS + 1], sum: 0.0 }
    }

    /// Counts a duration.
    pub fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[self.bounds.partition_point(|&bound| bound < seconds)] += 1;
        self.sum += seconds;
    }

    /// The upper bounds of the buckets in seconds, ascending; a bound belongs to its bucket.
    pub fn bounds(&self) -> &[f64] {
        self.bounds
    }

    /// How many durations are in each bucket, and last how many are above all bounds. Not cumulative.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The duration in seconds that a share `0..=1` of all stays below, as well as the buckets tell; `None` for an
    /// empty histogram. What is above all bounds counts as the last bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let wanted = share.clamp(0.0, 1.0) * total as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (&count, &upper) in self.counts.iter().zip(self.bounds) {
            let count = count as f64;
            if count > 0.0 && below + count >= wanted {
                return Some(lower + (upper - lower) * ((wanted - below) / count).max(0.0));
            }
            below += count;
            lower = upper;
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::of_waits();
        for milliseconds in [0, 1, 2, 3, 300_000, 300_001] {
            histogram.add(Duration::from_millis(milliseconds));
        }
        assert_eq!(&histogram.counts()[..3], &[2, 1, 1]);
        assert_eq!(&histogram.counts()[BUCKETS - 1..], &[1, 1]);
        assert_eq!(Histogram::of_steps().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_in_the_bucket_of_the_sorted_list(
            mut durations in prop::collection::vec(0u64..4_000_000, 1..200), share in 0.01f64..1.0
        ) {
            let mut histogram = Histogram::of_steps();
            durations.iter().for_each(|&microseconds| histogram.add(Duration::from_micros(microseconds)));
            durations.sort_unstable();
            let rank = ((share * durations.len() as f64).ceil() as usize).max(1) - 1;
            let exact = durations[rank] as f64 / 1e6;
            let bucket = histogram.bounds().partition_point(|&bound| bound < exact);
            let lower = if bucket == 0 { 0.0 } else { histogram.bounds()[bucket - 1] };
            let found = histogram.quantile(share).expect("it is not empty");
            prop_assert!(found >= lower - 1e-9 && found <= histogram.bounds()[bucket] + 1e-9, "{found} for {exact}");
            prop_assert_eq!(histogram.count(), durations.len() as u64);
        }
    }
}
