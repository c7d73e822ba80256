//! Every kernel and whole models on an NVIDIA GPU.
//!
//! It has a harness of its own, because tests are as many as there are kernel files, and because the binary also runs
//! where there is no Rust: `cargo xtask gpu-test` packs it with what it reads. Fixtures are looked for in the working
//! folder first.
//!
//! Without a GPU there is a single test, which is ignored, so that all tests of the repository can be run anywhere. With
//! `--device cuda` that is a failure, and with `--device emulator` the same tests run on the emulator.

#[path = "../../../wootz-gpu/tests/models/answers.rs"]
mod answers;
#[path = "../../../wootz-gpu/tests/attention_bits/world.rs"]
mod attention_bits;
#[path = "../../../wootz-gpu/tests/models/fixture.rs"]
#[allow(dead_code)] // the emulator's tests use what is not used here
mod fixture;
mod groups;
mod kernels;
mod models;
#[path = "../../../wootz-gpu/tests/models/whole.rs"]
#[allow(dead_code)] // as above
mod whole;
#[path = "../../../wootz-gpu/tests/models/wrapped.rs"]
#[allow(dead_code)] // as above
mod wrapped;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Trial};
use wootz_gpu::cuda::Cuda;
use wootz_gpu::device::Device;

/// Where the tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the first NVIDIA GPU.
    Gpu,
    /// On the emulator, which packs matrices as for one.
    Emulator,
}

impl Place {
    fn open(self) -> Result<Box<dyn Device>, String> {
        match self {
            Place::Gpu => {
                let cuda = Cuda::open(0, wootz_ptx::programs()).map_err(|error| error.to_string())?;
                Ok(Box::new(cuda))
            }
            Place::Emulator => Ok(wrapped::packing_device()),
        }
    }
}

/// The device that kernels are tried on, one test at a time.
#[derive(Clone)]
struct Shared(Arc<Mutex<Box<dyn Device>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Box<dyn Device>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device that was asked for, if any, and the other arguments.
fn place() -> Result<(Option<Place>, Vec<String>), String> {
    let (mut place, mut others) = (None, Vec::new());
    let mut arguments = std::env::args();
    while let Some(argument) = arguments.next() {
        let name = match argument.strip_prefix("--device") {
            Some("") => arguments.next(),
            Some(rest) if rest.starts_with('=') => Some(rest[1..].to_owned()),
            _ => {
                others.push(argument);
                continue;
            }
        };
        place = match name.as_deref() {
            Some("cuda") => Some(Place::Gpu),
            Some("emulator") => Some(Place::Emulator),
            _ => return Err("--device takes cuda or emulator".to_owned()),
        };
    }
    Ok((place, others))
}

/// Everything that is tested there.
fn trials(place: Place, device: Box<dyn Device>) -> Vec<Trial> {
    let facts = device.facts();
    eprintln!("on {} ({})", facts.name, facts.driver);
    let mut trials = kernels::trials(&Shared(Arc::new(Mutex::new(device))));
    trials.extend(models::trials(place));
    if place == Place::Gpu {
        trials.extend(groups::trials());
    }
    trials
}

fn main() -> ExitCode {
    let (asked, others) = match place() {
        Ok(found) => found,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::from(2);
        }
    };
    let mut arguments = Arguments::from_iter(others);
    // What runs beside another test would only wait for it.
    arguments.test_threads = Some(1);
    let place = asked.unwrap_or(Place::Gpu);
    let trials = match place.open() {
        Ok(device) => trials(place, device),
        Err(reason) => {
            eprintln!("nothing can be tested: {reason}");
            if asked.is_some() {
                return ExitCode::FAILURE;
            }
            vec![Trial::test("a GPU is needed", || Ok(())).with_ignored_flag(true)]
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}
