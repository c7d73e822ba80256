//! Statistics beside NumPy's.

use serde::Deserialize;
use wootz_load::statistics::{Distribution, median, percentile};

#[derive(Deserialize)]
struct Expected {
    values: Vec<f64>,
    count: usize,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    lowest: f64,
    highest: f64,
}

#[test]
fn distributions_are_as_numpy_has_them() {
    let all: Vec<Expected> = serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap();
    assert!(all.len() >= 7);
    for expected in all {
        let found = Distribution::of(&expected.values).unwrap();
        assert_eq!(found.count, expected.count);
        let pairs = [
            (found.mean, expected.mean),
            (found.p50, expected.p50),
            (found.p95, expected.p95),
            (found.p99, expected.p99),
            (found.lowest, expected.lowest),
            (found.highest, expected.highest),
        ];
        for (found, expected) in pairs {
            assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} is not {expected}");
        }
        assert_eq!(median(&expected.values), Some(found.p50));
    }
}

#[test]
fn nothing_has_no_distribution() {
    assert_eq!(Distribution::of(&[]), None);
    assert_eq!((median(&[]), percentile(&[], 0.5)), (None, 0.0));
}
