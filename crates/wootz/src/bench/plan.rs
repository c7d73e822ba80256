//! What physics allows: a model's steps, listed for a chip that need not be here, against the chip's limits.
//!
//! A model of the machine, not a measurement. Each launch takes as long as the longer of moving its bytes and doing its
//! operations, and they follow each other. A real run is slower: launches cost time of their own, and no kernel reaches
//! both limits.

use std::collections::BTreeMap;

use serde::Serialize;
use wootz_backend::model::Model;
use wootz_backend::step::Step;
use wootz_gpu::chips::Chip;
use wootz_gpu::device::{Device, DeviceFacts, Dispatch, Work};
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::paper::Paper;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use super::workload::Workload;
use crate::failure::Failure;
use crate::table::{Align, Table, bytes, count};

/// What is asked of every chip.
pub struct Question<'a> {
    /// The model.
    pub spec: &'a ModelSpec,
    /// Its weights.
    pub checkpoint: &'a Checkpoint,
    /// What is computed.
    pub workloads: &'a [Workload],
    /// Pages, rows and sampled rows of a step.
    pub settings: GpuSettings,
}

/// The answer for one chip.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The chip's name.
    pub chip: &'static str,
    /// Its GPU cores.
    pub cores: u32,
    /// Bytes a second.
    pub bandwidth: f64,
    /// Half-precision operations a second.
    pub half_rate: f64,
    /// Bytes of device memory that the model takes.
    pub memory: u64,
    /// The smallest Mac with this chip whose recommended working set holds it, in gibibytes; `None` where none does.
    pub fits: Option<u64>,
    /// The best possible speed of each workload.
    pub workloads: Vec<Best>,
}

/// The best possible speed of a workload.
#[derive(Debug, Serialize)]
pub struct Best {
    /// "pp512", "tg64".
    pub test: String,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// The work of its last step by kernel file: what moves and what is computed.
    pub last_step: Vec<Part>,
}

/// The work of one kernel file's launches.
#[derive(Debug, Serialize)]
pub struct Part {
    /// The file.
    pub kernels: &'static str,
    /// How many.
    pub launches: usize,
    /// Bytes that are read and written.
    pub bytes: u64,
    /// Floating-point operations.
    pub operations: u64,
    /// Seconds at least.
    pub seconds: f64,
    /// What most of that time is for: "memory" or "arithmetic".
    pub bound: &'static str,
}

impl Plan {
    /// The plan for one chip.
    pub fn new(question: &Question<'_>, chip: &'static Chip) -> Result<Plan, Failure> {
        // Without a limit, so that a model that does not fit has figures too.
        let facts = DeviceFacts {
            memory: u64::MAX,
            buffer_bytes: u64::MAX,
            ..Paper::of_chip(chip, 0).facts().clone()
        };
        let paper = Box::new(Paper::new(facts));
        let spec = question.spec.clone();
        let mut model = GpuModel::load(spec, question.checkpoint, paper, &question.settings, &mut |_| ())?;
        let used = model.memory();
        let memory = used.weights.mapped + used.weights.own + used.cache + used.activations;
        let fits = chip.memory.iter().copied().find(|&gibibytes| Chip::working_set(gibibytes) >= memory);
        let best = question.workloads.iter().map(|&workload| best(&mut model, chip, workload));
        Ok(Plan {
            chip: chip.name,
            cores: chip.cores,
            bandwidth: chip.bandwidth,
            half_rate: chip.half_rate,
            memory,
            fits,
            workloads: best.collect::<Result<_, _>>()?,
        })
    }
}

fn best(model: &mut GpuModel, chip: &Chip, workload: Workload) -> Result<Best, Failure> {
    let steps = workload.steps_of(workload.length(), &model.limits());
    let mut seconds = 0.0;
    // Generation has as many steps as tokens, which differ little: every sixteenth stands for those around it.
    let stride = if steps.len() > 256 { 16 } else { 1 };
    let mut weight = 0;
    for step in steps.iter().step_by(stride) {
        seconds += model.plan(step)?.iter().map(|dispatch| least_seconds(&dispatch.work, chip)).sum::<f64>();
        weight += 1;
    }
    seconds *= steps.len() as f64 / f64::from(weight);
    let last_step = match steps.last() {
        Some(step) => parts(model, step, chip)?,
        None => Vec::new(),
    };
    let tokens_per_second = workload.tokens() as f64 / seconds;
    Ok(Best { test: workload.name(), tokens_per_second, last_step })
}

fn parts(model: &mut GpuModel, step: &Step, chip: &Chip) -> Result<Vec<Part>, Failure> {
    let mut parts: BTreeMap<&'static str, Part> = BTreeMap::new();
    for Dispatch { kernel, work, .. } in model.plan(step)? {
        let file = kernel.source.file;
        let empty =
            Part { kernels: file, launches: 0, bytes: 0, operations: 0, seconds: 0.0, bound: "memory" };
        let part = parts.entry(file).or_insert(empty);
        part.launches += 1;
        part.bytes += work.bytes_read + work.bytes_written;
        part.operations += work.operations;
        part.seconds += least_seconds(&work, chip);
    }
    let mut parts: Vec<Part> = parts.into_values().collect();
    for part in &mut parts {
        if part.operations as f64 / chip.half_rate > part.bytes as f64 / chip.bandwidth {
            part.bound = "arithmetic";
        }
    }
    parts.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(parts)
}

/// The time that no kernel can beat.
fn least_seconds(work: &Work, chip: &Chip) -> f64 {
    let moving = (work.bytes_read + work.bytes_written) as f64 / chip.bandwidth;
    moving.max(work.operations as f64 / chip.half_rate)
}

/// A line for each chip.
pub fn table(plans: &[Plan]) -> Table {
    let mut names = vec!["chip", "GPU cores", "GB/s", "TFLOP/s", "fits in"];
    let tests: Vec<String> = plans.first().map_or_else(Vec::new, |plan| {
        plan.workloads.iter().map(|best| format!("{} at best", best.test)).collect()
    });
    names.extend(tests.iter().map(String::as_str));
    let align = |index| if index == 0 { Align::Left } else { Align::Right };
    let mut table = Table::new(names.into_iter().enumerate().map(|(index, name)| (name, align(index))));
    for plan in plans {
        let mut row = vec![
            plan.chip.to_owned(),
            plan.cores.to_string(),
            format!("{:.0}", plan.bandwidth / 1e9),
            format!("{:.1}", plan.half_rate / 1e12),
            plan.fits.map_or_else(|| "none".into(), |gibibytes| format!("{gibibytes} GB")),
        ];
        row.extend(plan.workloads.iter().map(|best| format!("{:.0}", best.tokens_per_second)));
        table.row(row);
    }
    table
}

/// What a workload's last step consists of.
pub fn parts_table(best: &Best) -> Table {
    let mut table = Table::new([
        ("kernels", Align::Left),
        ("launches", Align::Right),
        ("bytes", Align::Right),
        ("operations", Align::Right),
        ("at least", Align::Right),
        ("bound by", Align::Left),
    ]);
    for part in &best.last_step {
        table.row([
            part.kernels.to_owned(),
            part.launches.to_string(),
            bytes(part.bytes),
            count(part.operations),
            format!("{:.1} µs", 1e6 * part.seconds),
            part.bound.to_owned(),
        ]);
    }
    table
}
