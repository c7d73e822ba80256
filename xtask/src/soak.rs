//! A long run of an engine: does memory grow, do pages leak?

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// How long to run.
#[derive(Args)]
pub struct Options {
    /// Requests that are sent, of mixed kinds
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(200..))]
    requests: u64,
    /// A small model to answer them (default: the tiny one of the tests)
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

/// Runs the engine's soak example, optimised.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    let mut soak = repository.cargo();
    soak.args(["run", "--quiet", "--release", "-p", "wootz-engine", "--example", "soak", "--"]);
    soak.arg(options.requests.to_string()).args(&options.model);
    process::run(soak)
}
