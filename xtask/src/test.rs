//! All tests, by the quickest runner at hand.

use clap::Args;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// What to test.
#[derive(Args, Default)]
pub struct Options {
    /// Where the random cases of property tests begin. Every run tests the same ones unless this says otherwise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passed on to the test runner, after the options for the whole workspace
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The names that a clang new enough for Metal's language may have.
const CLANGS: [&str; 7] =
    ["clang++", "clang++-16", "clang++-17", "clang++-18", "clang++-19", "clang++-20", "clang++-21"];

/// The features that tests are built with: all that a machine without a GPU can compile. The workspace has the crates behind
/// them as members, so that leaving a feature out would build little less.
pub const FEATURES: [&str; 2] = ["--features", "wootz/cuda"];

/// Runs the examples in the documentation, then every other test of the workspace.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    need_clang()?;
    let mut examples = repository.cargo();
    examples.args(["test", "--quiet", "--workspace", "--doc"]).args(FEATURES);
    process::run(examples)?;
    let mut tests = repository.cargo();
    tests.args(runner()).arg("--workspace").args(FEATURES).args(&options.arguments);
    // What is read by proptest. A commit that passed has to pass again.
    tests.env("PROPTEST_RNG_SEED", options.seed.to_string());
    process::run(tests)
}

/// GPU kernels are tested on an emulator, which compiles them with clang. How new it is the tests find out themselves.
pub fn need_clang() -> Result<(), Failure> {
    if CLANGS.iter().any(|name| process::succeeds(name, &["--version"])) {
        return Ok(());
    }
    process::install_packages("clang (16 or newer)", &["clang-19"])
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
