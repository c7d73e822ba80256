//! Measurements side by side with other programs.

use clap::Args;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Passed on to `scripts/bench_peers.sh`: see its `--help`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds Wootz and its peers, makes models of real shapes, and measures both in turns.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    let mut script = repository.command("bash");
    script.arg("scripts/bench_peers.sh").args(&options.arguments);
    process::run(script)
}
