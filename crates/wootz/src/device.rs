//! The devices that a model can run on.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command, ValueEnum};
use wootz_gpu::choices::{self, Choices};
use wootz_gpu::collective::MOST_RANKS;
use wootz_gpu::device::{Device, DeviceFacts};
use wootz_gpu::emulator::{Emulator, EmulatorSettings};
use wootz_gpu::select::{Answers, Library};

use crate::failure::Failure;
use crate::gpu::Gpus;

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// The GPU of a Mac.
    #[cfg(target_os = "macos")]
    Metal,
    /// NVIDIA GPUs: one, or several that compute each step together.
    #[cfg(feature = "cuda")]
    Cuda(GpuNumbers),
    /// The GPU kernels, run by the processor.
    Emulator,
    /// The same as so many GPUs that compute each step together.
    Emulators(usize),
}

/// Whose kernels multiply matrices with many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GemmName {
    /// Ours, or the system's where `wootz tune` found it faster
    Auto,
    /// Ours
    Metal,
    /// The system's: Metal Performance Shaders
    Mps,
}

/// On what a model runs, and how.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Machine")]
pub struct DeviceOptions {
    /// Where the model runs
    #[cfg_attr(not(feature = "cuda"), doc = "[default: cpu]")]
    #[cfg_attr(
        feature = "cuda",
        doc = "[default: the first NVIDIA GPU; cpu where there is none, and with --threads]"
    )]
    #[arg(long, value_parser = DeviceParser)]
    device: Option<DeviceName>,
    /// On a GPU: whose kernels multiply matrices with many rows
    #[arg(long, value_enum, default_value = "auto")]
    gemm: GemmName,
    /// On a GPU: answers that don't depend on what else is computed in a step, bit for bit (as always on the processor);
    /// slower
    #[arg(long)]
    deterministic: bool,
}

/// The options, with every choice made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSettings {
    /// Where the model runs.
    pub name: DeviceName,
    /// Whether nobody asked for this device.
    pub automatic: bool,
    /// What results may depend on.
    pub answers: Answers,
    /// Whose matrix kernels.
    pub library: Library,
}

/// Every device of this build as it is written, and what it is.
const DEVICES: &[(&str, &str)] = &[
    ("cpu", "The processor"),
    #[cfg(target_os = "macos")]
    ("metal", "The GPU of a Mac; not yet run on Apple hardware: `wootz doctor` examines yours"),
    #[cfg(feature = "cuda")]
    (
        "cuda",
        "An NVIDIA GPU: cuda is the first, as cuda:0, and cuda:1 the second; cuda:0,1 are both for one model (2 to 8, alike)",
    ),
    (
        "emulator",
        "The GPU kernels, run by the processor: slow, for checking and learning; needs clang; emulator:2 is two",
    ),
];

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceName, String> {
        match text {
            "cpu" => Ok(DeviceName::Cpu),
            #[cfg(target_os = "macos")]
            "metal" => Ok(DeviceName::Metal),
            "emulator" => Ok(DeviceName::Emulator),
            _ if text.starts_with("emulator:") => emulators(text),
            _ if text == "cuda" || text.starts_with("cuda:") => cuda(text),
            _ => Err(format!("there is no device {text} here: {}", DeviceName::list())),
        }
    }
}

fn emulators(text: &str) -> Result<DeviceName, String> {
    let count = text.strip_prefix("emulator:").and_then(|count| count.parse().ok());
    count.filter(|count| (2..=MOST_RANKS).contains(count)).map(DeviceName::Emulators).ok_or_else(|| {
        format!(
            "there is no device {text}: emulator is one, and emulator:2 to emulator:{MOST_RANKS} are several"
        )
    })
}

#[cfg(feature = "cuda")]
fn cuda(text: &str) -> Result<DeviceName, String> {
    let Some(list) = text.strip_prefix("cuda:") else { return Ok(DeviceName::Cuda(GpuNumbers::FIRST)) };
    let numbers = list.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>().map_err(|_| {
        format!(
            "{text} names no GPU: after `cuda:` goes its number, from 0 on, as in cuda:1; or several, as in cuda:0,1"
        )
    })?;
    GpuNumbers::new(&numbers).map(DeviceName::Cuda).map_err(|reason| format!("{text} {reason}"))
}

/// NVIDIA GPUs by their numbers, as the driver counts them: at least one, and none twice.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuNumbers {
    numbers: [u32; MOST_RANKS],
    count: usize,
}

#[cfg(feature = "cuda")]
impl GpuNumbers {
    /// The first GPU.
    pub const FIRST: GpuNumbers = GpuNumbers { numbers: [0; MOST_RANKS], count: 1 };

    /// These; the error says what is wrong with them.
    fn new(given: &[u32]) -> Result<GpuNumbers, String> {
        if let Some(twice) = (1..given.len()).find(|&place| given[..place].contains(&given[place])) {
            return Err(format!("names GPU {} twice", given[twice]));
        }
        if given.len() > MOST_RANKS {
            return Err(format!("names {} GPUs, and at most {MOST_RANKS} share a model", given.len()));
        }
        let mut numbers = [0; MOST_RANKS];
        numbers[..given.len()].copy_from_slice(given);
        Ok(GpuNumbers { numbers, count: given.len() })
    }

    /// In the order that they were named in.
    pub fn as_slice(&self) -> &[u32] {
        &self.numbers[..self.count]
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: &str) -> Result<DeviceName, String> {
    let what = "this build has no kernels for NVIDIA GPUs: `cargo build --release --features cuda` makes one that has";
    Err(what.to_owned())
}

/// Parses `--device`, and lists the devices in help and completions.
#[derive(Debug, Clone, Copy)]
pub struct DeviceParser;

impl TypedValueParser for DeviceParser {
    type Value = DeviceName;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<DeviceName, clap::Error> {
        TypedValueParser::parse_ref(&DeviceName::from_str, command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(DEVICES.iter().map(|(name, help)| PossibleValue::new(*name).help(*help))))
    }
}

impl DeviceName {
    /// This machine's GPU, or what stands in for one.
    pub fn gpu() -> DeviceName {
        #[cfg(target_os = "macos")]
        return DeviceName::Metal;
        #[cfg(not(target_os = "macos"))]
        match DeviceName::automatic() {
            DeviceName::Cpu => DeviceName::Emulator,
            gpu => gpu,
        }
    }

    /// Where models run if nobody says. Metal has to be asked for until it was run on a Mac.
    pub fn automatic() -> DeviceName {
        #[cfg(feature = "cuda")]
        if wootz_gpu::cuda::has(0) {
            return DeviceName::Cuda(GpuNumbers::FIRST);
        }
        DeviceName::Cpu
    }

    /// The devices of this build, for messages.
    fn list() -> String {
        let (last, others) = DEVICES.split_last().expect("there is the processor");
        let others: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        format!("{} or {}", others.join(", "), last.0)
    }

    /// Whether the processor stands in for GPUs.
    pub fn is_emulated(self) -> bool {
        matches!(self, DeviceName::Emulator | DeviceName::Emulators(_))
    }

    /// Opens one GPU, for commands that look at a GPU and not at a model; `None` for the processor.
    pub fn open_one(self, threads: Option<usize>) -> Result<Option<Box<dyn Device>>, Failure> {
        match self.open(threads)? {
            Some(Gpus::One(device)) => Ok(Some(device)),
            None => Ok(None),
            Some(Gpus::Several(_)) => {
                Err(Failure::Usage("this is done on one GPU at a time: --device names several".into()))
            }
        }
    }

    /// Opens the GPU, or several; `None` for the processor, which needs no opening. `threads` are the emulator's.
    pub fn open(self, threads: Option<usize>) -> Result<Option<Gpus>, Failure> {
        match self {
            DeviceName::Cpu => Ok(None),
            #[cfg(target_os = "macos")]
            DeviceName::Metal => {
                no_threads(threads)?;
                let settings = wootz_gpu::metal::MetalSettings::default();
                Ok(Some(Gpus::One(Box::new(wootz_gpu::metal::Metal::open(&settings)?))))
            }
            #[cfg(feature = "cuda")]
            DeviceName::Cuda(numbers) => {
                no_threads(threads)?;
                let programs = wootz_ptx::programs();
                Ok(Some(match numbers.as_slice() {
                    &[number] => Gpus::One(Box::new(wootz_gpu::cuda::Cuda::open(number, programs)?)),
                    several => Gpus::Several(wootz_gpu::cuda::Cuda::group(several, &programs)?),
                }))
            }
            DeviceName::Emulator => {
                let mut settings = EmulatorSettings::default();
                settings.workers = threads.unwrap_or(settings.workers);
                Ok(Some(Gpus::One(Box::new(Emulator::new(settings)?))))
            }
            DeviceName::Emulators(count) => {
                let mut settings = EmulatorSettings::default();
                // They share the processor and its memory.
                settings.workers = threads.unwrap_or(settings.workers).div_ceil(count);
                settings.memory /= count as u64;
                Ok(Some(Gpus::Several(Emulator::group(&settings, count)?)))
            }
        }
    }
}

#[cfg(any(target_os = "macos", feature = "cuda"))]
fn no_threads(threads: Option<usize>) -> Result<(), Failure> {
    match threads {
        None => Ok(()),
        Some(_) => Err(Failure::Usage("a GPU has no use for --threads".into())),
    }
}

impl DeviceOptions {
    /// Chooses, and checks that the options fit together. Whoever says how many threads compute means the processor.
    pub fn settings(&self, threads: Option<usize>) -> Result<DeviceSettings, Failure> {
        let name = self.device.unwrap_or_else(|| match threads {
            Some(_) => DeviceName::Cpu,
            None => DeviceName::automatic(),
        });
        self.check(name)?;
        Ok(DeviceSettings {
            name,
            automatic: self.device.is_none(),
            answers: if self.deterministic { Answers::Reproducible } else { Answers::Fastest },
            library: match self.gemm {
                GemmName::Auto => Library::Auto,
                GemmName::Metal => Library::Own,
                GemmName::Mps => Library::System,
            },
        })
    }

    fn check(&self, name: DeviceName) -> Result<(), Failure> {
        let usage = |what: &str| Err(Failure::Usage(what.into()));
        let mps = self.gemm == GemmName::Mps;
        if name == DeviceName::Cpu && (self.gemm != GemmName::Auto || self.deterministic) {
            return usage(
                "--gemm and --deterministic are for GPUs; on the processor answers are always the same",
            );
        }
        #[cfg(not(target_os = "macos"))]
        if mps {
            return usage("--gemm mps needs a Mac: Metal Performance Shaders are part of macOS");
        }
        if mps && name.is_emulated() {
            return usage("--gemm mps is for --device metal: the emulator has no such library");
        }
        if mps && self.deterministic {
            return usage(
                "--gemm mps can't be --deterministic: in which order the system's library adds is not known",
            );
        }
        Ok(())
    }
}

/// What `wootz doctor` and `wootz tune` found out about a device.
pub fn known(facts: &DeviceFacts) -> Choices {
    choices::default_folder().map_or_else(|| Choices::new(facts), |folder| Choices::load(&folder, facts))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        device: DeviceOptions,
    }

    fn parsed(arguments: &[&str]) -> Result<DeviceOptions, String> {
        let line = Line::try_parse_from([&["run"], arguments].concat());
        line.map(|line| line.device).map_err(|error| error.to_string())
    }

    fn name_of(text: &str) -> Result<DeviceName, String> {
        let options = parsed(&["--device", text])?;
        options.settings(None).map(|settings| settings.name).map_err(|failure| failure.to_string())
    }

    #[test]
    fn devices_have_names() {
        assert_eq!(name_of("cpu"), Ok(DeviceName::Cpu));
        assert_eq!(name_of("emulator"), Ok(DeviceName::Emulator));
        assert_eq!(name_of("emulator:2"), Ok(DeviceName::Emulators(2)));
        for wrong in ["gpu", "CPU", "", "cpu:0", "emulator:1", "emulator:9", "emulator:0,1"] {
            let said = name_of(wrong).unwrap_err();
            assert!(said.contains("there is no device") && said.contains("emulator"), "{said}");
        }
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn gpus_are_counted_from_0() {
        let numbers = |text| match name_of(text)? {
            DeviceName::Cuda(numbers) => Ok(numbers.as_slice().to_vec()),
            other => Err(format!("{other:?}")),
        };
        assert_eq!(numbers("cuda"), Ok(vec![0]));
        assert_eq!(numbers("cuda:0"), Ok(vec![0]));
        assert_eq!(numbers("cuda:11"), Ok(vec![11]));
        assert_eq!(numbers("cuda:0,1"), Ok(vec![0, 1]));
        assert_eq!(numbers("cuda:3,0,2"), Ok(vec![3, 0, 2]));
        assert!(numbers("cuda:1,0,1").unwrap_err().contains("names GPU 1 twice"));
        assert!(numbers("cuda:0,1,2,3,4,5,6,7,8").unwrap_err().contains("at most 8"));
        for wrong in ["cuda:", "cuda:x", "cuda:-1", "cuda:1.5", "cuda:4294967296", "cuda:0,", "cuda:0,,1"] {
            let said = name_of(wrong).unwrap_err();
            assert!(said.contains(&format!("{wrong} names no GPU")), "{said}");
        }
        assert!(name_of("cudart").unwrap_err().contains("there is no device cudart"));
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_nvidias_gpus_says_so() {
        for asked in ["cuda", "cuda:1"] {
            assert!(name_of(asked).unwrap_err().contains("--features cuda"));
        }
    }

    #[test]
    fn threads_mean_the_processor() {
        let settings = parsed(&[]).unwrap().settings(Some(2)).unwrap();
        assert_eq!((settings.name, settings.automatic), (DeviceName::Cpu, true));
        let emulator = parsed(&["--device", "emulator"]).unwrap().settings(Some(2)).unwrap();
        assert_eq!((emulator.name, emulator.automatic), (DeviceName::Emulator, false));
    }
}
