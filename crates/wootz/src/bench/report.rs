//! The results of a benchmark, as a table and as JSON.

use serde::Serialize;
use wootz_backend::cpu::limits::Limits;

use super::ideal::Bound;
use super::profile::StepProfile;
use super::statistics::Summary;
use crate::table::{Align, Table, bytes};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The model's path.
    pub model: String,
    /// Its architecture.
    pub architecture: String,
    /// Whether a GPU computed with the kernels of `--deterministic`. (The processor's answers never depend on company.)
    pub deterministic: bool,
    /// Bytes of its weights as they are computed with.
    pub weight_bytes: usize,
    /// The instruction set.
    pub instructions: String,
    /// What the machine can do, for each number of threads.
    pub limits: Vec<MachineLimits>,
    /// The measurements.
    pub results: Vec<Measurement>,
    /// Where a step's time goes, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<StepProfile>,
    /// The most memory that the process had while the model ran; `None` where the system does not say.
    pub peak_resident_bytes: Option<u64>,
}

/// What the machine can do.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MachineLimits {
    /// With so many threads.
    pub threads: usize,
    /// Bytes read from memory a second.
    pub read_bytes_per_second: f64,
    /// Int8 operations a second.
    pub int8_operations_per_second: f64,
    /// int16 operations a second.
    pub int16_operations_per_second: f64,
    /// f32 operations a second.
    pub f32_operations_per_second: f64,
}

impl From<&Limits> for MachineLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            threads: limits.threads,
            read_bytes_per_second: limits.read,
            int8_operations_per_second: limits.int8,
            int16_operations_per_second: limits.int16,
            f32_operations_per_second: limits.f32,
        }
    }
}

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// "pp512", "tg64", "tg64×4", "tg64 @ d8192".
    pub test: String,
    /// "prompt" or "generation".
    pub kind: &'static str,
    /// Tokens of each sequence.
    pub tokens: usize,
    /// Sequences.
    pub batch: usize,
    /// Tokens of each sequence's context before.
    pub depth: usize,
    /// Threads; `None` on a GPU.
    pub threads: Option<usize>,
    /// Rates of all sequences together.
    pub tokens_per_second: Summary,
    /// Seconds of each repeat.
    pub seconds: Vec<f64>,
    /// The least possible time divided by the median time; `None` without measured limits.
    pub share_of_limit: Option<f64>,
    /// What the limit is.
    pub bound: Option<Bound>,
}

impl Report {
    /// Tables for people.
    pub fn text(&self) -> String {
        let weights = bytes(self.weight_bytes as u64);
        let how = if self.deterministic { ", deterministic" } else { "" };
        let mut text = format!("{} ({}, {weights}{how})\n\n", self.model, self.architecture);
        if !self.limits.is_empty() {
            text.push_str(&format!("{}\n", self.limit_table()));
        }
        text.push_str(&self.result_table().to_string());
        for profile in &self.profiles {
            text.push_str(&format!("\n{}, its last step\n\n{}", profile.test, profile.table()));
        }
        if let Some(peak) = self.peak_resident_bytes {
            text.push_str(&format!("\npeak resident memory {}\n", bytes(peak)));
        }
        text
    }

    fn limit_table(&self) -> Table {
        let names = ["this machine can", "read GB/s", "int8 GOP/s", "int16 GOP/s", "f32 GFLOP/s"];
        let align = |index| if index == 0 { Align::Left } else { Align::Right };
        let mut table = Table::new(names.iter().enumerate().map(|(index, name)| (*name, align(index))));
        for limit in &self.limits {
            let threads = format!("{} thread{}", limit.threads, if limit.threads == 1 { "" } else { "s" });
            let giga = |value: f64| format!("{:.0}", value / 1e9);
            table.row([
                threads,
                format!("{:.1}", limit.read_bytes_per_second / 1e9),
                giga(limit.int8_operations_per_second),
                giga(limit.int16_operations_per_second),
                giga(limit.f32_operations_per_second),
            ]);
        }
        table
    }

    fn result_table(&self) -> Table {
        let mut table = Table::new([
            ("test", Align::Left),
            ("threads", Align::Right),
            ("tokens/s", Align::Right),
            ("lowest", Align::Right),
            ("highest", Align::Right),
            ("of the limit", Align::Right),
            ("limit", Align::Left),
        ]);
        for result in &self.results {
            let Summary { median, lowest, highest } = result.tokens_per_second;
            let bound = match result.bound {
                None => "",
                Some(Bound::Memory) => "memory",
                Some(Bound::Arithmetic) => "arithmetic",
            };
            table.row([
                result.test.clone(),
                result.threads.map_or_else(String::new, |threads| threads.to_string()),
                format!("{median:.1}"),
                format!("{lowest:.1}"),
                format!("{highest:.1}"),
                result.share_of_limit.map_or_else(String::new, |share| format!("{:.0}%", 100.0 * share)),
                bound.to_string(),
            ]);
        }
        table
    }
}
