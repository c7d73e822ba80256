//! All tests, by the quickest runner at hand.

use clap::Args;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// What to test.
#[derive(Args, Default)]
pub struct Options {
    /// Passed on to the test runner, after the options for the whole workspace
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs the examples in the documentation, then every other test of the workspace.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    let mut examples = repository.cargo();
    examples.args(["test", "--quiet", "--workspace", "--doc"]);
    process::run(examples)?;
    let mut tests = repository.cargo();
    tests.args(runner()).arg("--workspace").args(&options.arguments);
    process::run(tests)
}

/// Arguments of cargo that run tests: `nextest run`, or `test` where nextest is not installed (the same tests, less
/// neatly shown).
pub fn runner() -> &'static [&'static str] {
    if process::succeeds("cargo", &["nextest", "--version"]) {
        return &["nextest", "run", "--no-fail-fast"];
    }
    eprintln!("xtask: cargo-nextest is not installed, so `cargo test` runs the tests");
    eprintln!("       (`cargo install --locked cargo-nextest` gets it)");
    &["test", "--no-fail-fast", "--lib", "--bins", "--tests"]
}
