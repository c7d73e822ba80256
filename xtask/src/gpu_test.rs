//! The tests of NVIDIA GPUs, packed for a machine that has one but no Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// What the tests read, by where they find it in the folder that they run in: as it lies in the repository.
const READ: [&str; 2] = ["crates/wootz-backend/tests/fixtures", "models"];

/// The name of the packed program.
const PROGRAM: &str = "wootz-gpu-test";

/// Options of `cargo xtask gpu-test`.
#[derive(Debug, Args)]
pub struct Options {
    /// Where everything goes
    #[arg(long, value_name = "FOLDER", default_value = "target/gpu-test")]
    out: PathBuf,
    /// Run it too: for a machine with a GPU
    #[arg(long)]
    run: bool,
}

/// Builds, packs, and runs if asked to.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    let out = repository.root().join(&options.out);
    let program = build(repository)?;
    let read =
        repository.files()?.into_iter().filter(|file| READ.iter().any(|folder| file.starts_with(folder)));
    for file in read {
        copy(&repository.root().join(&file), &out.join(&file))?;
    }
    let packed = out.join(PROGRAM);
    copy(&program, &packed)?;
    println!(
        "packed in {}: run ./{PROGRAM} --device cuda there, on a machine with an NVIDIA GPU",
        out.display()
    );
    if options.run {
        let mut tests = Command::new(packed);
        tests.current_dir(&out).args(["--device", "cuda"]);
        process::run(tests)?;
    }
    Ok(())
}

/// The test program, optimised.
fn build(repository: &Repository) -> Result<PathBuf, Failure> {
    let mut build = repository.cargo();
    build.args(["test", "--release", "--no-run", "-p", "wootz-ptx", "--test", "gpu"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    let messages = process::output(build)?;
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "gpu").then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages.lines().find_map(executable).ok_or_else(|| Failure::Missing {
        tool: "the test program".to_owned(),
        advice: "cargo built it and did not say where".to_owned(),
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder).map_err(|reason| Failure::File { path: folder.to_owned(), reason })?;
    std::fs::copy(from, to).map(drop).map_err(|reason| Failure::File { path: to.to_owned(), reason })
}
