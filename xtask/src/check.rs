//! Every check in one command, cheapest first, with a summary.

use std::time::Instant;

use clap::Args;

use crate::failure::Failure;
use crate::platforms::{self, ArmOptions};
use crate::repository::Repository;
use crate::{book, links, process, size, test};

/// How strict to be.
#[derive(Args)]
pub struct Options {
    /// Go on without a tool that is absent and can't be installed here, and say so
    #[arg(long)]
    skip_unavailable: bool,
    /// Leave the tests to a `cargo xtask test` of their own
    #[arg(long)]
    without_tests: bool,
}

enum Outcome {
    Passed(u64),
    Skipped(String),
    Failed(String),
}

type Step = fn(&Repository) -> Result<(), Failure>;

const STEPS: [(&str, Step); 8] = [
    ("format", format),
    ("lines", size::run),
    ("links", links::run),
    ("book", book::run),
    ("deny", deny),
    ("clippy", clippy),
    ("macOS", platforms::check_macos),
    ("Arm tests", |repository| platforms::test_arm(repository, &ArmOptions::default())),
];

/// Runs every step, even after a failure, so that one run shows everything there is to mend. The tests come
/// after the summary, so that their report is what stands at the end.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for (name, step) in STEPS {
        eprintln!("── {name}");
        let start = Instant::now();
        let outcome = match step(repository) {
            Ok(()) => Outcome::Passed(start.elapsed().as_secs()),
            Err(missing @ Failure::Missing { .. }) if options.skip_unavailable => {
                Outcome::Skipped(missing.to_string())
            }
            Err(failure) => Outcome::Failed(failure.to_string()),
        };
        outcomes.push((name, outcome));
    }
    let gates = summarise(&outcomes);
    if options.without_tests {
        return gates;
    }
    eprintln!("── tests");
    let tests = test::run(repository, &test::Options::default());
    gates.and(tests)
}

fn summarise(outcomes: &[(&str, Outcome)]) -> Result<(), Failure> {
    eprintln!("── summary");
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed(seconds) => eprintln!("   passed   {name} ({seconds} s)"),
            Outcome::Skipped(reason) => eprintln!("   SKIPPED  {name}: {reason}"),
            Outcome::Failed(reason) => {
                eprintln!("   FAILED   {name}: {reason}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Steps(failed.join(", "))) }
}

fn format(repository: &Repository) -> Result<(), Failure> {
    let mut command = repository.cargo();
    command.args(["fmt", "--all", "--check"]);
    process::run(command)
}

/// Lints with the features that the tests are built with: the kernels are compiled to PTX here, which takes clang.
fn clippy(repository: &Repository) -> Result<(), Failure> {
    test::need_clang()?;
    let mut command = repository.cargo();
    command.args(["clippy", "--workspace", "--all-targets"]).args(test::FEATURES);
    command.args(["--", "-D", "warnings"]);
    process::run(command)
}

/// Checks the dependencies against `deny.toml`. The advisory database is left out: it is fetched from the
/// network at every run, and a check must not change its answer between two runs of one commit.
pub fn deny(repository: &Repository) -> Result<(), Failure> {
    if !process::succeeds("cargo", &["deny", "--version"]) {
        return Err(Failure::Missing {
            tool: "cargo-deny".to_owned(),
            advice: "run `cargo install --locked cargo-deny`".to_owned(),
        });
    }
    let mut command = repository.cargo();
    command.args([
        "deny",
        "--all-features",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);
    process::run(command)
}
