//! Checks for machines other than this one: macOS by types and lints, 64-bit Arm by running the tests under QEMU.

use std::process::Command;

use clap::Args;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;
use crate::test;

const MACOS: &str = "aarch64-apple-darwin";
const ARM_LINUX: &str = "aarch64-unknown-linux-gnu";
/// Where Debian's cross packages put the C library that the tests load.
const ARM_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Which Arm core, and what to run on it.
#[derive(Args)]
pub struct ArmOptions {
    /// QEMU's processor: `max` has every extension, `neoverse-n1` dotprod but not i8mm, `cortex-a72` neither
    #[arg(long, default_value = "max")]
    cpu: String,
    /// The crates whose tests run
    #[arg(long = "package", short, default_value = "wootz-backend")]
    packages: Vec<String>,
    /// Passed on to the test runner
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Default for ArmOptions {
    fn default() -> ArmOptions {
        ArmOptions {
            cpu: "max".to_owned(),
            packages: vec!["wootz-backend".to_owned()],
            arguments: Vec::new(),
        }
    }
}

/// Lints every crate for macOS, but for NVIDIA GPUs, which no Mac has. Nothing is linked, so no Apple tool is needed.
///
/// On a Mac warnings are errors. Elsewhere they are shown only: the compiler is then Debian's newest, which warns of
/// things that the project's own does not know yet.
pub fn check_macos(repository: &Repository) -> Result<(), Failure> {
    let lint = ["clippy", "--workspace", "--exclude", "wootz-ptx", "--all-targets", "--target", MACOS];
    let mut clippy =
        if cfg!(target_os = "macos") { repository.cargo() } else { cross_cargo(repository, MACOS)? };
    clippy.args(lint);
    if cfg!(target_os = "macos") {
        clippy.args(["--", "-D", "warnings"]);
    }
    process::run(clippy)
}

/// Runs tests built for 64-bit Arm: here if this is such a machine, else under QEMU. First those of the packages, then
/// the unit tests of the emulator, whose threads switch in assembly. (Its other tests run kernels that the clang of this
/// machine has compiled.)
pub fn test_arm(repository: &Repository, options: &ArmOptions) -> Result<(), Failure> {
    let packages: Vec<&str> =
        options.packages.iter().flat_map(|package| ["--package", package.as_str()]).collect();
    test_on_arm(repository, options, &packages)?;
    test::need_clang()?;
    test_on_arm(repository, options, &["--package", "msl", "--lib"])
}

fn test_on_arm(repository: &Repository, options: &ArmOptions, chosen: &[&str]) -> Result<(), Failure> {
    let mut tests = if cfg!(target_arch = "aarch64") {
        repository.cargo()
    } else {
        let library = format!("{ARM_LIBRARIES}/lib/libc.so.6");
        if !process::succeeds("qemu-aarch64", &["--version"]) || !std::path::Path::new(&library).exists() {
            process::install_packages("QEMU for Arm", &["qemu-user", "libc6-arm64-cross"])?;
        }
        let mut cargo = cross_cargo(repository, ARM_LINUX)?;
        let runner = format!("qemu-aarch64 -cpu {} -L {ARM_LIBRARIES}", options.cpu);
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        cargo
    };
    tests.args(test::runner()).args(chosen);
    if !cfg!(target_arch = "aarch64") {
        tests.args(["--target", ARM_LINUX]);
    }
    tests.args(&options.arguments);
    process::run(tests)
}

/// A cargo that compiles for `target`, of a toolchain of its own under `target/cross`, made at the first use.
fn cross_cargo(repository: &Repository, target: &str) -> Result<Command, Failure> {
    let folder = repository.root().join("target/cross");
    let mut setup = repository.command("bash");
    setup.arg("scripts/cross/setup.sh").arg(&folder);
    process::run(setup).map_err(|_| Failure::Missing {
        tool: format!("a toolchain for {target}"),
        advice: format!(
            "scripts/cross/setup.sh makes it on Debian 12; elsewhere run `rustup target add {target}`"
        ),
    })?;
    let mut command = repository.command("bash");
    // The first argument of the shell's own is the folder, the rest go to cargo.
    command.args(["-c", ". \"$0/env\" && exec cargo \"$@\""]).arg(&folder);
    // Its compiler is another version: what it builds is kept apart.
    command.env("CARGO_TARGET_DIR", folder.join("build"));
    Ok(command)
}
