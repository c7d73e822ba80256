//! `wootz doctor`.

use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use wootz_gpu::choices::{self, Choices};
use wootz_gpu::device::{Device, DeviceFacts};
use wootz_gpu::doctor::{Examination, ExaminationProgress, Finding, Scope, examine, examine_used};
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::paper::Paper;
use wootz_gpu::select::Answers;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

use crate::device::{DeviceName, DeviceParser};
use crate::failure::Failure;
use crate::loading;
use crate::model_path;
use crate::table::{Align, Table};
use crate::terminal;

/// Arguments of `wootz doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz doctor                        every kernel, on this machine's GPU
  wootz doctor model.gguf             only the kernels that this model would use
  wootz doctor --device emulator      the same without a GPU; needs clang

Each kernel is run on the device at several sizes, and its results are compared with the
same formula in plain Rust. First come the probes, which ask whether the device does what the
kernels take for granted. A kernel that gives a wrong result is not used on this device any
more: where there is another one for the work, models run with that one. The report is what
to attach when you tell us of a problem.

The kernels have run on the emulator and on one NVIDIA GPU. Metal has not been run on Apple
hardware yet: so on a Mac this command comes first.")]
pub struct DoctorArguments {
    /// Examine only what this model would use: a GGUF file or a Hugging Face folder
    model: Option<PathBuf>,
    /// The device to examine [default: the GPU, or the emulator where there is none]
    #[arg(long, value_parser = DeviceParser)]
    device: Option<DeviceName>,
    /// Where the report goes
    #[arg(long, value_name = "FILE", default_value = "wootz-doctor.json")]
    report: PathBuf,
    /// Only look: don't keep the verdict for later runs
    #[arg(long)]
    dry_run: bool,
}

/// Examines, prints, and keeps the verdict.
pub fn run(arguments: &DoctorArguments) -> Result<(), Failure> {
    let name = arguments.device.unwrap_or_else(DeviceName::gpu);
    let Some(mut device) = name.open_one(None)? else {
        return Err(Failure::Usage("the processor has no kernels to examine: --device names a GPU".into()));
    };
    let model = arguments.model.as_deref().map(Examined::open).transpose()?;
    let bar = terminal::progress_bar(terminal::COUNTED, 0);
    let mut progress = |progress| {
        let (what, done, total) = match progress {
            ExaminationProgress::Compiling(done, total) => ("kernels compiled", done, total),
            ExaminationProgress::Running(concept, done, total) => (concept, done, total),
        };
        bar.set_message(what);
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let (examination, scope) = match &model {
        None => (examine(device.as_mut(), &Scope::All, &mut progress), Scope::All),
        Some(model) => {
            let facts = device.facts().clone();
            let used = |excluded: &BTreeSet<String>| model.used(&facts, excluded);
            let (examination, entries) = examine_used(device.as_mut(), &used, &mut progress)?;
            (examination, Scope::Only(entries))
        }
    };
    bar.finish_and_clear();
    print(&examination)?;
    let excluded = examination.excluded();
    write_report(&arguments.report, &examination)?;
    if !arguments.dry_run {
        keep(device.as_ref(), &examination, &scope)?;
    }
    if examination.is_sound() {
        return Ok(());
    }
    let names: Vec<&str> = excluded.into_iter().collect();
    Err(Failure::with_next(
        format!("{} gives wrong results with {}", examination.facts.name, names.join(", ")),
        format!(
            "these kernels {} used on this device from now on; please attach {} to a report",
            if arguments.dry_run { "would not be" } else { "are not" },
            arguments.report.display()
        ),
    ))
}

/// The model whose kernels are examined.
struct Examined {
    checkpoint: Checkpoint,
    spec: ModelSpec,
}

impl Examined {
    fn open(path: &Path) -> Result<Examined, Failure> {
        let checkpoint = Checkpoint::open(model_path::find(Some(path))?)?;
        let spec = loading::spec(&checkpoint)?;
        Ok(Examined { checkpoint, spec })
    }

    /// The kernels that it uses on such a device where some are excluded: those of quick and of reproducible answers.
    fn used(
        &self,
        facts: &DeviceFacts,
        excluded: &BTreeSet<String>,
    ) -> Result<BTreeSet<&'static str>, Failure> {
        let mut entries = BTreeSet::new();
        for answers in [Answers::Fastest, Answers::Reproducible] {
            let paper = Box::new(Paper::new(facts.clone()));
            let choices = Choices { excluded: excluded.clone(), ..Choices::default() };
            let settings = GpuSettings { answers, choices, ..GpuSettings::default() };
            let model = GpuModel::load(self.spec.clone(), &self.checkpoint, paper, &settings, &mut |_| ())?;
            entries.extend(model.kernels().iter().map(|kernel| kernel.entry));
        }
        Ok(entries)
    }
}

/// Keeps which kernels failed. An examination of one model's kernels says nothing about others.
fn keep(device: &dyn Device, examination: &Examination, scope: &Scope) -> Result<(), Failure> {
    let Some(folder) = choices::default_folder() else { return Ok(()) };
    let mut choices = Choices::load(&folder, device.facts());
    match scope {
        Scope::All => choices.excluded.clear(),
        Scope::Only(entries) => choices.excluded.retain(|entry| !entries.contains(entry.as_str())),
    }
    choices.excluded.extend(examination.excluded().into_iter().map(str::to_owned));
    choices.save(&folder, device.facts()).map_err(|error| Failure::file("write", &folder, &error))?;
    Ok(())
}

fn print(examination: &Examination) -> Result<(), Failure> {
    let mut out = stdout().lock();
    let facts = &examination.facts;
    writeln!(out, "{} ({}), {} GiB for models", facts.name, facts.driver, facts.memory >> 30)?;
    let columns =
        [("kernels", Align::Left), ("cases", Align::Right), ("result", Align::Left), ("time", Align::Right)];
    let mut table = Table::new(columns);
    for Finding { concept, cases, seconds, failures, .. } in &examination.findings {
        let result = match failures.len() {
            0 => "right".to_owned(),
            wrong => format!("{wrong} WRONG"),
        };
        table.row([(*concept).to_owned(), cases.to_string(), result, format!("{seconds:.1} s")]);
    }
    write!(out, "\n{table}")?;
    if !examination.timestamps {
        writeln!(
            out,
            "\nThis device does not time single kernels: `wootz tune` measures whole submissions."
        )?;
    }
    for failure in examination.findings.iter().flat_map(|finding| &finding.failures) {
        terminal::error(&format!("{}: {}", failure.kernels.join(", "), failure.error));
    }
    Ok(())
}

fn write_report(path: &Path, examination: &Examination) -> Result<(), Failure> {
    let facts = &examination.facts;
    let findings: Vec<Value> = examination
        .findings
        .iter()
        .map(|finding| {
            let failures = finding
                .failures
                .iter()
                .map(|failure| json!({ "kernels": failure.kernels, "error": failure.error.to_string() }));
            json!({
                "concept": finding.concept,
                "cases": finding.cases,
                "seconds": finding.seconds,
                "failures": failures.collect::<Vec<_>>(),
            })
        })
        .collect();
    let report = json!({
        "wootz": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "device": facts.name,
        "family": format!("{:?}", facts.family),
        "driver": facts.driver,
        "cores": facts.cores,
        "memory": facts.memory,
        "times_kernels": examination.timestamps,
        "findings": findings,
        "excluded": examination.excluded(),
    });
    let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::new(error.to_string()))?;
    std::fs::write(path, text + "\n").map_err(|error| Failure::file("write", path, &error))?;
    terminal::note(&format!("report written to {}", path.display()));
    Ok(())
}
