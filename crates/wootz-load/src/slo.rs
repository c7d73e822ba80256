//! A service level objective: what a request must keep to count as served well.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::record::Record;

/// Limits of one request's latencies, in seconds; `None` sets no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Objective {
    /// Time to the first token.
    pub ttft: Option<f64>,
    /// The 95th percentile of the request's own inter-token latencies.
    pub itl: Option<f64>,
    /// Time per output token after the first.
    pub tpot: Option<f64>,
    /// End to end.
    pub e2e: Option<f64>,
}

impl Objective {
    /// Whether a request was answered within the limits.
    pub fn is_kept_by(&self, record: &Record) -> bool {
        let within = |limit: Option<f64>, value: Option<f64>| {
            // A latency that the request does not have (one token has no gap) breaks no limit.
            limit.zip(value).is_none_or(|(limit, value)| value <= limit)
        };
        record.succeeded()
            && within(self.ttft, record.time_to_first_token())
            && within(self.itl, record.own_inter_token_p95())
            && within(self.tpot, record.time_per_output_token())
            && within(self.e2e, record.end_to_end())
    }
}

impl FromStr for Objective {
    type Err = String;

    /// `ttft=500ms,itl=50ms,tpot=40ms,e2e=2s`, any of them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut objective = Self::default();
        for part in text.split(',') {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is no limit: ttft=500ms, itl=…, tpot=… and e2e=… are"))?;
            let seconds = Some(seconds(value)?);
            match name.trim() {
                "ttft" => objective.ttft = seconds,
                "itl" => objective.itl = seconds,
                "tpot" => objective.tpot = seconds,
                "e2e" => objective.e2e = seconds,
                other => return Err(format!("{other:?} is no latency: ttft, itl, tpot, e2e")),
            }
        }
        Ok(objective)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("ttft", self.ttft), ("itl", self.itl), ("tpot", self.tpot), ("e2e", self.e2e)];
        let limits = named.iter().filter_map(|(name, limit)| limit.map(|limit| (name, limit)));
        for (index, (name, limit)) in limits.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={}ms", (limit * 1e6).round() / 1e3)?;
        }
        Ok(())
    }
}

/// Reads "250ms", "1.5s" or "2m" as seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let units = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * factor)
    });
    parsed
        .filter(|&seconds| seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok())
        .ok_or_else(|| format!("{text:?} is no duration above zero: 250ms, 1.5s and 2m are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_units_and_written_back() {
        let objective: Objective = "ttft=0.5s,itl=50ms,e2e=2m".parse().unwrap();
        assert_eq!(objective, Objective { ttft: Some(0.5), itl: Some(0.05), tpot: None, e2e: Some(120.0) });
        assert_eq!(objective.to_string(), "ttft=500ms,itl=50ms,e2e=120000ms");
        for wrong in ["", "ttft", "ttft=5", "ttft=-1s", "speed=1s", "ttft=infs", "itl=NaNms"] {
            assert!(wrong.parse::<Objective>().is_err(), "{wrong}");
        }
    }
}
