//! Activations, computed in f64.

use crate::kernels::activation::{Activation, Gate};

/// `activation(gate) · up`.
pub fn gated(gate: Gate, x: f32, up: f32) -> f32 {
    match gate {
        Gate::Plain(activation) => (exact(activation, f64::from(x)) * f64::from(up)) as f32,
        Gate::ClampedSilu => {
            let low = f64::from(x).min(7.0);
            let factor = f64::from(up).clamp(-7.0, 7.0) + 1.0;
            (low / (1.0 + (-1.702 * low).exp()) * factor) as f32
        }
    }
}

/// `activation(x)`.
pub fn activate(activation: Activation, x: f32) -> f32 {
    exact(activation, f64::from(x)) as f32
}

fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::GeluErf => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::ReluSquared => x.max(0.0).powi(2),
    }
}

/// The error function: its series at 0 where that converges quickly, the continued fraction of its complement beyond.
fn erf(x: f64) -> f64 {
    let size = x.abs();
    let value = if size < 3.0 {
        let mut term = size;
        let mut sum = size;
        for n in 1..100 {
            term *= -size * size / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        2.0 / std::f64::consts::PI.sqrt() * sum
    } else {
        let fraction = (1..60).rev().fold(size, |below, n| size + f64::from(n) / 2.0 / below);
        1.0 - (-size * size).exp() / (std::f64::consts::PI.sqrt() * fraction)
    };
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_has_the_values_of_the_tables() {
        // Abramowitz and Stegun, table 7.1.
        for (x, value) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (2.999, 0.999_977_801_0),
            (3.5, 0.999_999_256_9),
        ] {
            assert!((erf(x) - value).abs() < 1e-7, "erf({x}) is {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!((erf(2.999_999) - erf(3.000_001)).abs() < 1e-9);
    }
}
