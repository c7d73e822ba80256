//! Every kernel and whole models on an NVIDIA GPU. Without one there is a single test, which is ignored.
//!
//! It has a harness of its own, because tests are as many as there are kernel files, and because the binary also runs
//! where there is no Rust: `cargo xtask gpu-test` packs it with what it reads. Fixtures are looked for in the working
//! folder first.

mod groups;
mod kernels;
mod models;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Trial};
use wootz_gpu::cuda::Cuda;

/// The GPU that kernels are tried on, one test at a time.
#[derive(Clone)]
struct Shared(Arc<Mutex<Cuda>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cuda> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open() -> Result<Cuda, String> {
    Cuda::open(0, wootz_ptx::programs()).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // What runs beside another test would only wait for it.
    arguments.test_threads = Some(1);
    let trials = match open() {
        Ok(device) => {
            let device = Shared(Arc::new(Mutex::new(device)));
            let one = kernels::trials(&device).into_iter().chain(models::trials());
            one.chain(groups::trials()).collect()
        }
        Err(reason) => {
            eprintln!("nothing can be tested: {reason}");
            vec![Trial::test("a GPU is needed", || Ok(())).with_ignored_flag(true)]
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}
