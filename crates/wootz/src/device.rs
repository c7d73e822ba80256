//! The devices that a model can run on.

use clap::{Args, ValueEnum};
use wootz_gpu::choices::{self, Choices};
use wootz_gpu::device::{Device, DeviceFacts};
use wootz_gpu::emulator::{Emulator, EmulatorSettings};
use wootz_gpu::select::{Answers, Library};

use crate::failure::Failure;

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The processor
    Cpu,
    /// The GPU of a Mac; not yet run on Apple hardware: `wootz doctor` examines yours
    #[cfg(target_os = "macos")]
    Metal,
    /// The GPU kernels, run by the processor: slow, for checking and learning; needs clang
    Emulator,
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
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceName,
    /// On a GPU: whose kernels multiply matrices with many rows
    #[arg(long, value_enum, default_value = "auto")]
    pub gemm: GemmName,
    /// On a GPU: answers that don't depend on what else is computed in a step, bit for bit (as always on the processor);
    /// slower
    #[arg(long)]
    pub deterministic: bool,
}

impl DeviceName {
    /// This machine's GPU, or what stands in for one.
    #[cfg(target_os = "macos")]
    pub const GPU: DeviceName = DeviceName::Metal;
    /// This machine's GPU, or what stands in for one.
    #[cfg(not(target_os = "macos"))]
    pub const GPU: DeviceName = DeviceName::Emulator;

    /// The words for all GPUs, for messages.
    pub fn names() -> String {
        let gpus = DeviceName::value_variants().iter().filter(|name| **name != DeviceName::Cpu);
        let words = gpus.filter_map(|name| name.to_possible_value());
        words.map(|word| word.get_name().to_owned()).collect::<Vec<_>>().join(" or ")
    }

    /// Opens the GPU; `None` for the processor, which needs no opening. `threads` are the emulator's.
    pub fn open(self, threads: Option<usize>) -> Result<Option<Box<dyn Device>>, Failure> {
        match self {
            DeviceName::Cpu => Ok(None),
            #[cfg(target_os = "macos")]
            DeviceName::Metal => {
                if threads.is_some() {
                    return Err(Failure::Usage("a GPU has no use for --threads".into()));
                }
                let settings = wootz_gpu::metal::MetalSettings::default();
                Ok(Some(Box::new(wootz_gpu::metal::Metal::open(&settings)?)))
            }
            DeviceName::Emulator => {
                let mut settings = EmulatorSettings::default();
                settings.workers = threads.unwrap_or(settings.workers);
                Ok(Some(Box::new(Emulator::new(settings)?)))
            }
        }
    }
}

impl DeviceOptions {
    /// Whether the options fit together.
    pub fn check(&self) -> Result<(), Failure> {
        let asked = self.gemm != GemmName::Auto || self.deterministic;
        if self.device == DeviceName::Cpu && asked {
            let what =
                "--gemm and --deterministic are for GPUs; on the processor answers are always the same";
            return Err(Failure::Usage(what.into()));
        }
        #[cfg(not(target_os = "macos"))]
        if self.gemm == GemmName::Mps {
            return Err(Failure::Usage(
                "--gemm mps needs a Mac: Metal Performance Shaders are part of macOS".into(),
            ));
        }
        if self.gemm == GemmName::Mps && self.device == DeviceName::Emulator {
            return Err(Failure::Usage(
                "--gemm mps is for --device metal: the emulator has no such library".into(),
            ));
        }
        if self.gemm == GemmName::Mps && self.deterministic {
            let what =
                "--gemm mps can't be --deterministic: in which order the system's library adds is not known";
            return Err(Failure::Usage(what.into()));
        }
        Ok(())
    }

    /// What results may depend on.
    pub fn answers(&self) -> Answers {
        if self.deterministic { Answers::Reproducible } else { Answers::Fastest }
    }

    /// Whose matrix kernels.
    pub fn library(&self) -> Library {
        match self.gemm {
            GemmName::Auto => Library::Auto,
            GemmName::Metal => Library::Own,
            GemmName::Mps => Library::System,
        }
    }
}

/// What `wootz doctor` and `wootz tune` found out about a device.
pub fn known(facts: &DeviceFacts) -> Choices {
    choices::default_folder().map_or_else(|| Choices::new(facts), |folder| Choices::load(&folder, facts))
}
