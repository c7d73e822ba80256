//! `wootz bench`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde::Serialize;
use wootz_backend::Binding;
use wootz_backend::cpu::limits::{self, Limits};
use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_backend::model::Model;
use wootz_backend::program::program;
use wootz_gpu::chips::{self, CHIPS, Chip};
use wootz_gpu::model::GpuSettings;
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use crate::bench::ideal::Demand;
use crate::bench::memory;
use crate::bench::plan::{self, Plan, Question, parts_table};
use crate::bench::profile::StepProfile;
use crate::bench::report::{Measurement, Report};
use crate::bench::workload::Workload;
use crate::commands::bench_serve::{self, BenchServeArguments};
use crate::device::{self, DeviceName};
use crate::failure::Failure;
use crate::loading;
use crate::model_path;
use crate::table::bytes;
use crate::terminal;

/// Arguments of `wootz bench`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  wootz bench model.gguf                       prompt of 512, then 64 tokens generated
  wootz bench model.gguf -p 128,512 -n 64,256  several lengths; 0 leaves a kind out
  wootz bench model.gguf -t 1,2,4 -b 1,4,16    threads, and sequences generated together
  wootz bench model.gguf -p 0 -d 0,8192        generation from an empty context, and after 8,192 tokens
  wootz bench model.gguf --deterministic       on a GPU: answers that depend on nothing else in a step
  wootz bench model.gguf --json | jq .results
  wootz bench --plan model.gguf                what physics allows on each of Apple's chips
  wootz bench --plan model.gguf --device m4-max
  wootz bench serve --streams 1,4,8            load on a running server: see wootz bench serve --help

First the machine's own limits are measured: how fast it reads memory, and how many int8, int16 and f32
operations it can do. \"Of the limit\" is the least time in which the model's matrices could be read and
multiplied, divided by the time it took; a model that fits the processor's caches may exceed it where
memory is the limit. Tokens are random and nothing is sampled."
)]
pub struct BenchArguments {
    /// Something else to measure than a model alone.
    #[command(subcommand)]
    other: Option<BenchCommand>,
    /// A GGUF file or a Hugging Face folder [default: the model that comes with Wootz]
    model: Option<PathBuf>,
    /// Lengths of prompts
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', default_value = "512")]
    prompt: Vec<u32>,
    /// Numbers of tokens to generate
    #[arg(long, short = 'n', value_name = "N,…", value_delimiter = ',', default_value = "64")]
    generate: Vec<u32>,
    /// Numbers of sequences to generate together
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u16).range(1..=512))]
    batch: Vec<u16>,
    /// Tokens of context before what is measured; each length is measured after each
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    depth: Vec<u32>,
    /// Numbers of threads [default: one for each physical core]
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// How often each is measured
    #[arg(long, short, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeats: u32,
    /// Write JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Measure nothing: list what each kernel has to move and compute, and the best speed that a chip allows
    #[arg(long, conflicts_with_all = ["threads", "repeats", "no_limits"])]
    plan: bool,
    /// Where the model runs: cpu, metal (on a Mac), cuda, cuda:1 or cuda:0,1 (NVIDIA GPUs, in builds for them) or emulator
    /// [default: as for `wootz run`]; with --plan a chip (m4-max, m1-pro-14, …) or all of them
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// On a GPU: also list what each kernel of a step took, beside the bytes and operations that it had to move and do
    #[arg(long, conflicts_with = "plan")]
    profile: bool,
    /// On a GPU: with kernels whose answers don't depend on what else is computed in a step, as in `wootz run --deterministic`:
    /// what that costs
    #[arg(long)]
    deterministic: bool,
    /// Leave out the machine's limits, which take 768 MiB of memory and a second or two to measure
    #[arg(long)]
    no_limits: bool,
}

/// What else can be measured.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)]
enum BenchCommand {
    /// Put load on a server with OpenAI's API, and measure its latencies and speed
    Serve(BenchServeArguments),
}

/// Rows of a step: a prompt's chunk.
const ROWS: usize = 512;
/// The same on a GPU.
const GPU_ROWS: usize = 2048;

impl BenchArguments {
    fn answers(&self) -> Answers {
        if self.deterministic { Answers::Reproducible } else { Answers::Fastest }
    }
}

/// Measures, and prints.
pub fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    if let Some(BenchCommand::Serve(serve)) = &arguments.other {
        return bench_serve::run(serve);
    }
    let path = model_path::find(arguments.model.as_deref())?;
    let checkpoint = Checkpoint::open(&path)?;
    let spec = loading::spec(&checkpoint)?;
    let workloads = workloads(arguments, &spec)?;
    if arguments.plan {
        return plan(arguments, &spec, &checkpoint, &workloads);
    }
    match device(arguments)? {
        DeviceName::Cpu if arguments.profile => {
            Err(Failure::Usage("--profile is for GPUs: give a --device".into()))
        }
        DeviceName::Cpu if arguments.deterministic => Err(Failure::Usage(
            "--deterministic is for GPUs; on the processor answers are always the same".into(),
        )),
        DeviceName::Cpu => on_cpu(arguments, &spec, &checkpoint, &workloads),
        gpu => on_gpu(arguments, gpu, &spec, &checkpoint, &workloads),
    }
}

/// What is measured. Who says how many threads, or that the processor's limits are not wanted, means the processor.
fn device(arguments: &BenchArguments) -> Result<DeviceName, Failure> {
    match arguments.device.as_deref() {
        Some(name) => {
            name.parse().map_err(|why| Failure::Usage(format!("{why} (chips of Macs go with --plan)")))
        }
        None if arguments.no_limits || !arguments.threads.is_empty() => Ok(DeviceName::Cpu),
        None => Ok(DeviceName::automatic()),
    }
}

/// Measures a model on the processor.
fn on_cpu(
    arguments: &BenchArguments,
    spec: &ModelSpec,
    checkpoint: &Checkpoint,
    workloads: &[Workload],
) -> Result<(), Failure> {
    let threads: Vec<usize> = match arguments.threads.as_slice() {
        [] => vec![CpuSettings::default().threads],
        given => given.iter().map(|&count| count.into()).collect(),
    };
    let measurements = threads.len() * (workloads.len() * arguments.repeats as usize);
    let bar = terminal::progress_bar(terminal::COUNTED, measurements as u64);
    let limits = if arguments.no_limits { Vec::new() } else { machine_limits(&threads, &bar)? };
    let mut report = Report {
        model: checkpoint.path().display().to_string(),
        architecture: spec.architecture.clone(),
        deterministic: arguments.deterministic,
        weight_bytes: 0,
        instructions: CpuSettings::default().isa.to_string(),
        limits: limits.iter().map(Into::into).collect(),
        results: Vec::new(),
        profiles: Vec::new(),
        peak_resident_bytes: None,
    };
    for (index, &count) in threads.iter().enumerate() {
        let settings = CpuSettings { threads: count, ..room(workloads) };
        let mut model = bar.suspend(|| loading::load_weights(spec.clone(), checkpoint, &settings))?;
        report.weight_bytes = model.memory().weights;
        let run = Run {
            arguments,
            bar: &bar,
            limits: limits.get(index),
            demand: demand(spec, checkpoint, &model)?,
        };
        for &workload in workloads {
            report.results.push(run.measure(workload, &mut model)?);
        }
    }
    report.peak_resident_bytes = memory::peak_resident();
    bar.finish_and_clear();
    print(arguments, &report, &report.text())
}

fn print(arguments: &BenchArguments, report: &impl Serialize, text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let json = serde_json::to_string_pretty(report);
        writeln!(
            out,
            "{}",
            json.map_err(|error| Failure::new(format!("cannot write the report: {error}")))?
        )?;
    } else {
        write!(out, "{text}")?;
    }
    Ok(())
}

/// The best speed that chips allow.
fn plan(
    arguments: &BenchArguments,
    spec: &ModelSpec,
    checkpoint: &Checkpoint,
    workloads: &[Workload],
) -> Result<(), Failure> {
    let chosen: Vec<&'static Chip> = match &arguments.device {
        None => CHIPS.iter().collect(),
        Some(name) => {
            let chip = chips::parse(name);
            vec![chip.ok_or_else(|| {
                let mut names: Vec<String> = CHIPS.iter().map(Chip::short_name).collect();
                names.dedup();
                Failure::Usage(format!(
                    "{name} is no chip of Apple's that is known here: {}",
                    names.join(", ")
                ))
            })?]
        }
    };
    let CpuSettings { pages, rows, samples, .. } = room(workloads);
    let settings = GpuSettings { pages, rows, samples, answers: arguments.answers(), ..Default::default() };
    let question = Question { spec, checkpoint, workloads, settings };
    let plans = chosen.into_iter().map(|chip| Plan::new(&question, chip)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    if let [plan] = plans.as_slice() {
        text += &format!("{} of device memory: weights, keys and values, activations\n", bytes(plan.memory));
        for best in &plan.workloads {
            text += &format!("\n{}, its last step\n\n{}", best.test, parts_table(best));
        }
        text += "\n";
    }
    text += &plan::table(&plans).to_string();
    text += "\nA model of the machines, not a measurement: tokens a second if each kernel reached its limit, and\n\
             launching it took no time.\n";
    if arguments.deterministic {
        text += "Kernels are those of --deterministic.\n";
    }
    print(arguments, &plans, &text)
}

/// Measures a model on a GPU.
fn on_gpu(
    arguments: &BenchArguments,
    device: DeviceName,
    spec: &ModelSpec,
    checkpoint: &Checkpoint,
    workloads: &[Workload],
) -> Result<(), Failure> {
    if arguments.no_limits {
        return Err(Failure::Usage(
            "--no-limits is for the processor: the limits of a GPU are not measured".into(),
        ));
    }
    if arguments.threads.len() > 1 {
        return Err(Failure::Usage("with a GPU --threads takes one number: the emulator's".into()));
    }
    let threads = arguments.threads.first().map(|&count| count.into());
    let Some(gpu) = device.open(threads)? else { return Err(Failure::new("the processor is no GPU")) };
    let CpuSettings { pages, samples, .. } = room(workloads);
    let rows = if device.is_emulated() { ROWS } else { GPU_ROWS };
    let (answers, choices) = (arguments.answers(), device::known(gpu.facts()));
    let settings = GpuSettings { pages, rows, samples, answers, choices, ..Default::default() };
    let (facts, count) = (gpu.facts().clone(), gpu.count());
    let several = if count > 1 { format!("{count} ") } else { String::new() };
    let mut model = loading::load_on_gpu(spec.clone(), checkpoint, gpu, &settings)?;
    let measurements = workloads.len() * arguments.repeats as usize;
    let bar = terminal::progress_bar(terminal::COUNTED, measurements as u64);
    let mut report = Report {
        model: checkpoint.path().display().to_string(),
        architecture: spec.architecture.clone(),
        deterministic: arguments.deterministic,
        weight_bytes: model.weight_bytes() as usize,
        instructions: format!("{several}{} ({})", facts.name, facts.driver),
        limits: Vec::new(),
        results: Vec::new(),
        profiles: Vec::new(),
        peak_resident_bytes: None,
    };
    for &workload in workloads {
        bar.set_message(workload.name());
        report.results.push(workload.measure(model.model(), arguments.repeats, &bar)?);
        if arguments.profile {
            report.profiles.push(StepProfile::new(workload, &mut model)?);
        }
    }
    report.peak_resident_bytes = memory::peak_resident();
    bar.finish_and_clear();
    print(arguments, &report, &report.text())
}

/// The machine's limits for each number of threads.
fn machine_limits(threads: &[usize], bar: &ProgressBar) -> Result<Vec<Limits>, Failure> {
    let mut all = Vec::new();
    for &count in threads {
        bar.set_message(format!("limits of the machine, {count} threads"));
        all.push(limits::measure(CpuSettings::default().isa, count).map_err(|error| {
            let what = format!("cannot measure the machine's limits: {error}");
            Failure::with_next(what, "--no-limits leaves them out")
        })?);
    }
    // The measurement's own memory is none of the model's.
    memory::reset_peak();
    Ok(all)
}

/// By depth, prompts first, then generation by batch; a length of 0 leaves it out.
fn workloads(arguments: &BenchArguments, spec: &ModelSpec) -> Result<Vec<Workload>, Failure> {
    let lengths = |list: &[u32]| list.iter().map(|&n| n as usize).filter(|&n| n > 0).collect::<Vec<_>>();
    let (prompts, generate) = (lengths(&arguments.prompt), lengths(&arguments.generate));
    let mut all = Vec::new();
    for depth in arguments.depth.iter().map(|&depth| depth as usize) {
        all.extend(prompts.iter().map(|&tokens| Workload::Prompt { tokens, depth }));
        for batch in arguments.batch.iter().map(|&batch| batch.into()) {
            all.extend(generate.iter().map(|&tokens| Workload::Generation { tokens, batch, depth }));
        }
    }
    if all.is_empty() {
        return Err(Failure::Usage("nothing is left to measure: -p and -n are both 0".into()));
    }
    match all.iter().find(|workload| workload.context() > spec.context) {
        Some(workload) => Err(Failure::Usage(format!(
            "{} needs a context of {} tokens, but this model was made for at most {}",
            workload.name(),
            workload.context(),
            spec.context
        ))),
        None => Ok(all),
    }
}

/// Settings with room for every workload.
fn room(workloads: &[Workload]) -> CpuSettings {
    let greatest =
        |of: fn(Workload) -> usize| workloads.iter().map(|&workload| of(workload)).max().unwrap_or(1);
    CpuSettings {
        pages: greatest(Workload::pages),
        rows: ROWS,
        samples: greatest(Workload::batch),
        ..Default::default()
    }
}

fn demand(spec: &ModelSpec, checkpoint: &Checkpoint, model: &CpuModel) -> Result<Demand, Failure> {
    let program = program(spec);
    let binding = Binding::new(spec, &program, checkpoint)?;
    Ok(Demand::new(&program, &binding, model.bytes_per_token()))
}

/// What measurements with one number of threads share.
struct Run<'a> {
    arguments: &'a BenchArguments,
    bar: &'a ProgressBar,
    limits: Option<&'a Limits>,
    demand: Demand,
}

impl Run<'_> {
    fn measure(&self, workload: Workload, model: &mut CpuModel) -> Result<Measurement, Failure> {
        let threads = model.threads();
        self.bar.set_message(format!("{}, {threads} threads", workload.name()));
        let measurement = workload.measure(model, self.arguments.repeats, self.bar)?;
        let rows = model.limits().rows;
        let ideal = self.limits.map(|limits| self.demand.ideal(workload, rows, limits));
        let ideal_rate = ideal.map(|ideal| workload.tokens() as f64 / ideal.seconds);
        Ok(Measurement {
            threads: Some(threads),
            share_of_limit: ideal_rate.map(|rate| measurement.tokens_per_second.median / rate),
            bound: ideal.map(|ideal| ideal.bound),
            ..measurement
        })
    }
}
