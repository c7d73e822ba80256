//! Where the time of a step goes on a GPU: each kernel's launches, beside what they have to move and compute.

use std::collections::BTreeMap;

use serde::Serialize;

use super::workload::Workload;
use crate::failure::Failure;
use crate::gpu::OnGpus;
use crate::table::{Align, Table, bytes, count};

/// A workload's last step.
#[derive(Debug, Serialize)]
pub struct StepProfile {
    /// "pp512", "tg64".
    pub test: String,
    /// Those that took longest first.
    pub kernels: Vec<KernelTime>,
}

/// All launches of a kernel in a step.
#[derive(Debug, Serialize)]
pub struct KernelTime {
    /// File and entry point.
    pub kernel: String,
    /// How many.
    pub launches: usize,
    /// Seconds together, each launch by itself.
    pub seconds: f64,
    /// Bytes that are read and written, each counted once.
    pub bytes: u64,
    /// Floating-point operations.
    pub operations: u64,
}

impl StepProfile {
    /// The last step of a workload that has just run, once more with a clock around each launch.
    pub fn new(workload: Workload, model: &mut OnGpus) -> Result<StepProfile, Failure> {
        let steps = workload.steps_of(workload.length(), &model.model().limits());
        let mut kernels: BTreeMap<String, KernelTime> = BTreeMap::new();
        for launch in steps.last().map_or_else(|| Ok(Vec::new()), |step| model.profile(step))? {
            let name = format!("{:?}", launch.kernel);
            let empty =
                KernelTime { kernel: name.clone(), launches: 0, seconds: 0.0, bytes: 0, operations: 0 };
            let entry = kernels.entry(name).or_insert(empty);
            entry.launches += 1;
            entry.seconds += launch.seconds;
            entry.bytes += launch.work.bytes_read + launch.work.bytes_written;
            entry.operations += launch.work.operations;
        }
        let mut kernels: Vec<KernelTime> = kernels.into_values().collect();
        kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(StepProfile { test: workload.name(), kernels })
    }

    /// A line for each kernel.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            ("kernel", Align::Left),
            ("launches", Align::Right),
            ("µs", Align::Right),
            ("bytes", Align::Right),
            ("GB/s", Align::Right),
            ("operations", Align::Right),
            ("TFLOP/s", Align::Right),
        ]);
        for kernel in &self.kernels {
            table.row([
                kernel.kernel.clone(),
                kernel.launches.to_string(),
                format!("{:.1}", 1e6 * kernel.seconds),
                bytes(kernel.bytes),
                format!("{:.0}", kernel.bytes as f64 / kernel.seconds / 1e9),
                count(kernel.operations),
                format!("{:.1}", kernel.operations as f64 / kernel.seconds / 1e12),
            ]);
        }
        table
    }
}
