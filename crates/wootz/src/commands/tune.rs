//! `wootz tune`.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use wootz_gpu::choices::{self, Choices};
use wootz_gpu::model::GpuSettings;
use wootz_gpu::tune::{Trial, TuneSettings, tune};
use wootz_weights::Checkpoint;

use crate::device::{self, DeviceName, DeviceParser};
use crate::failure::Failure;
use crate::gpu::{Gpus, OnGpus};
use crate::loading::{self, load_on_gpu};
use crate::model_path;
use crate::table::{Align, Table};
use crate::terminal;

/// Arguments of `wootz tune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz tune model.gguf                     all its matrices, for 1 to 512 rows
  wootz tune model.gguf --rows 1,8,64       other numbers of rows

For each shape of matrix in the model and each number of rows, every kernel that can multiply
them is measured on the device: the matrices of all layers one after another, so that no cache
holds what comes next. The fastest is kept for this device and driver, and used from then on.
Run `wootz doctor` first: it finds kernels that are fast because they are wrong. Metal has not
been run on Apple hardware yet, so nothing here has been measured on a Mac.")]
pub struct TuneArguments {
    /// A GGUF file or a Hugging Face folder [default: the model that comes with Wootz]
    model: Option<PathBuf>,
    /// The device to measure [default: the GPU, or the emulator where there is none, whose times mean nothing]
    #[arg(long, value_parser = DeviceParser)]
    device: Option<DeviceName>,
    /// Numbers of rows [default: 1, 2, 4 and so on to 512; on the emulator 1 and 9]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=4096))]
    rows: Vec<u16>,
    /// How often each is measured
    #[arg(long, short, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,
    /// Only measure: don't keep the winners
    #[arg(long)]
    dry_run: bool,
}

/// Measures, prints, and keeps the winners.
pub fn run(arguments: &TuneArguments) -> Result<(), Failure> {
    let path = model_path::find(arguments.model.as_deref())?;
    let checkpoint = Checkpoint::open(&path)?;
    let spec = loading::spec(&checkpoint)?;
    let name = arguments.device.unwrap_or_else(DeviceName::gpu);
    let Some(gpu) = name.open_one(None)? else {
        return Err(Failure::Usage(
            "the processor's kernels are chosen by its instruction set: nothing to tune".into(),
        ));
    };
    let facts = gpu.facts().clone();
    let rows: Vec<usize> = match arguments.rows.as_slice() {
        // Its times mean nothing, and it would take hours.
        [] if name.is_emulated() => vec![1, 9],
        [] => (0..10).map(|power| 1 << power).collect(),
        given => given.iter().map(|&rows| rows.into()).collect(),
    };
    let known = device::known(&facts);
    let settings = GpuSettings {
        choices: Choices { winners: Default::default(), ..known.clone() },
        ..Default::default()
    };
    let OnGpus::One(mut model) = load_on_gpu(spec, &checkpoint, Gpus::One(gpu), &settings)? else {
        return Err(Failure::new("kernels are measured on one GPU"));
    };
    let bar = terminal::progress_bar(terminal::COUNTED, 0);
    let settings = TuneSettings { rows, repeats: arguments.repeats.into() };
    let trials = tune(&mut model, &settings, &mut |shape, done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(shape.to_owned());
    })?;
    bar.finish_and_clear();
    write!(stdout().lock(), "{}", table(&trials))?;
    if name.is_emulated() {
        terminal::note("these are times of the emulator, which say nothing of a GPU: no winners are kept");
        return Ok(());
    }
    let Some(folder) = choices::default_folder().filter(|_| !arguments.dry_run) else { return Ok(()) };
    let mut choices = known;
    for trial in &trials {
        if let Some((winner, _)) = trial.measured.first() {
            choices.winners.insert(trial.key.clone(), winner.clone());
        }
    }
    let file = choices.save(&folder, &facts).map_err(|error| Failure::file("write", &folder, &error))?;
    terminal::note(&format!("kept in {}", file.display()));
    Ok(())
}

fn table(trials: &[Trial]) -> Table {
    let mut table = Table::new([
        ("shape", Align::Left),
        ("fastest", Align::Left),
        ("µs", Align::Right),
        ("GB/s", Align::Right),
        ("expected", Align::Left),
        ("µs", Align::Right),
    ]);
    for Trial { key, measured, expected, bytes, .. } in trials {
        let Some((fastest, seconds)) = measured.first() else { continue };
        let micro = |seconds: f64| format!("{:.1}", 1e6 * seconds);
        let of_expected =
            measured.iter().find(|(name, _)| name == expected).map_or(0.0, |(_, seconds)| *seconds);
        table.row([
            key.clone(),
            fastest.clone(),
            micro(*seconds),
            format!("{:.1}", *bytes as f64 / seconds / 1e9),
            expected.clone(),
            micro(of_expected),
        ]);
    }
    table
}
