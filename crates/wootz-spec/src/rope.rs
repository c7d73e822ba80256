//! The frequencies of rotary position embedding, for every way of stretching them.

use std::f64::consts::PI;

use crate::spec::{Rope, RopeScaling, YarnBounds};

/// How fast each pair of a head turns, and how much longer it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    /// `[dims / 2]` radians that each pair turns per position.
    pub frequencies: Vec<f32>,
    /// Factor on cos and sin.
    pub magnitude: f32,
}

impl Rope {
    /// The rotation of this embedding. `factors` `[dims / 2]` are the checkpoint's divisors, needed by
    /// [`RopeScaling::Factors`] and used by nothing else; a missing one counts as 1.
    ///
    /// The formulas are those of Transformers' `modeling_rope_utils.py`.
    pub fn rotation(&self, factors: &[f32]) -> Rotation {
        let theta = f64::from(self.theta);
        let base: Vec<f64> =
            (0..self.dims / 2).map(|pair| theta.powf(-((2 * pair) as f64) / self.dims as f64)).collect();
        let mut magnitude = 1.0;
        let stretched: Vec<f64> = match self.scaling {
            RopeScaling::None => base,
            RopeScaling::Linear(factor) => {
                base.iter().map(|frequency| frequency / f64::from(factor)).collect()
            }
            RopeScaling::Llama3 { factor, low, high, original } => base
                .iter()
                .map(|&frequency| llama3(frequency, factor.into(), low.into(), high.into(), original as f64))
                .collect(),
            RopeScaling::Yarn { factor, beta_fast, beta_slow, bounds, attention_factor, original } => {
                magnitude = attention_factor;
                let pair_that_turns = |rotations: f32| {
                    let wavelength = original as f64 / (f64::from(rotations) * 2.0 * PI);
                    self.dims as f64 * wavelength.ln() / (2.0 * theta.ln())
                };
                let (low, high) = (pair_that_turns(beta_fast), pair_that_turns(beta_slow));
                let (low, high) = match bounds {
                    YarnBounds::Whole => (low.floor(), high.ceil()),
                    YarnBounds::Fractional => (low, high),
                };
                let ramp = Ramp::new(low.max(0.0), high.min(self.dims as f64 - 1.0));
                let mix = |(pair, &kept): (usize, &f64)| {
                    let interpolated = ramp.at(pair as f64);
                    kept * (1.0 - interpolated) + kept / f64::from(factor) * interpolated
                };
                base.iter().enumerate().map(mix).collect()
            }
            RopeScaling::Factors => {
                let divisors = factors.iter().copied().chain(std::iter::repeat(1.0));
                base.iter().zip(divisors).map(|(frequency, divisor)| frequency / f64::from(divisor)).collect()
            }
        };
        Rotation { frequencies: stretched.into_iter().map(|frequency| frequency as f32).collect(), magnitude }
    }
}

/// Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between mixed.
fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let kept = (original / wavelength - low) / (high - low);
        frequency * ((1.0 - kept) / factor + kept)
    }
}

/// Rises from 0 at `from` to 1 at `to`, and is flat beyond.
struct Ramp {
    from: f64,
    to: f64,
}

impl Ramp {
    fn new(from: f64, to: f64) -> Ramp {
        // Equal ends would divide by zero; the width is Transformers'.
        Ramp { from, to: if from == to { to + 0.001 } else { to } }
    }

    fn at(&self, x: f64) -> f64 {
        ((x - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}
