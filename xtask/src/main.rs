//! Project chores: `cargo xtask help`.
#![forbid(unsafe_code)]

mod bench;
mod book;
mod check;
mod clients;
mod failure;
mod gpu_test;
mod links;
mod platforms;
mod process;
mod repository;
mod rust_source;
mod size;
mod soak;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::repository::Repository;

/// Chores of the Wootz project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check that continuous integration runs, and the tests last
    Check(check::Options),
    /// Run all tests; what is missing is installed, or named with the command that installs it
    Test(test::Options),
    /// Drive other people's clients against a running server: openai (Python, Node.js), LangChain, Schemathesis
    Clients(clients::Options),
    /// Check the sizes of files and functions, where unsafe code lies, and words that must not be committed
    Lines,
    /// Check that every link between the documents leads somewhere
    Links,
    /// Check licences, sources and duplicates of the dependencies with cargo-deny
    Deny,
    /// Type-check and lint the whole workspace for macOS on Apple silicon, on any machine
    CheckMacos,
    /// Run the backend's tests as 64-bit Arm code, under QEMU where the machine is not Arm
    TestArm(platforms::ArmOptions),
    /// Pack the tests of NVIDIA GPUs for a machine that has one and no Rust
    GpuTest(gpu_test::Options),
    /// Build pages that teach the kernels, from their own comments, in target/book
    Book,
    /// Measure side by side with llama.cpp on this machine
    Bench(bench::Options),
    /// Send thousands of requests of all kinds through an engine, and fail if memory grows or pages leak
    Soak(soak::Options),
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let repository = Repository::find()?;
    match arguments.chore {
        Chore::Check(options) => check::run(&repository, &options),
        Chore::Test(options) => test::run(&repository, &options),
        Chore::Clients(options) => clients::run(&repository, &options),
        Chore::Lines => size::run(&repository),
        Chore::Links => links::run(&repository),
        Chore::Deny => check::deny(&repository),
        Chore::CheckMacos => platforms::check_macos(&repository),
        Chore::TestArm(options) => platforms::test_arm(&repository, &options),
        Chore::GpuTest(options) => gpu_test::run(&repository, &options),
        Chore::Book => book::run(&repository),
        Chore::Bench(options) => bench::run(&repository, &options),
        Chore::Soak(options) => soak::run(&repository, &options),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
