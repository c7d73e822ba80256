//! Compiles every kernel to PTX, which takes clang. For a Mac, which has no NVIDIA GPU, there is nothing to compile.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use msl::Interface;
use msl::ptx::compile;
use wootz_gpu::kernels::CONCEPTS;
use wootz_gpu::source::KernelSource;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the kernels for NVIDIA GPUs can't be compiled: {error}");
            eprintln!("(Without them Wootz builds with no clang: leave out the feature `cuda`.)");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let for_mac = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "macos");
    let mut programs = if for_mac { Vec::new() } else { compile_all(&out.join("kernels"))? };
    programs.sort_by_key(|(file, ..)| *file);
    let bytes = lz4_flex::compress_prepend_size(&serde_json::to_vec(&programs)?);
    std::fs::write(out.join("programs.lz4"), bytes)?;
    Ok(())
}

/// A kernel file, its PTX and its interface.
type Compiled = (&'static str, String, Interface);

/// Compiles with all processors. What has not changed since the last time is taken from `cache`.
fn compile_all(cache: &Path) -> Result<Vec<Compiled>, Box<dyn Error>> {
    let sources = CONCEPTS.iter().flat_map(|concept| concept.sources);
    let sources: Vec<&KernelSource> = sources.filter(|source| !source.needs_tensor_operations()).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::<Compiled>::new()));
    let work = || -> Result<(), String> {
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            let text = source.flattened()?;
            let ptx = compile(&msl::Source::new(source.file, text), cache)
                .map_err(|error| format!("{}: {error}", source.file))?;
            done.lock().map_err(|error| error.to_string())?.push((source.file, ptx.text, ptx.interface));
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| "a compilation panicked".to_owned())?)
    })?;
    Ok(done.into_inner()?)
}
