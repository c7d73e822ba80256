//! Checks for machines other than this one: macOS by types and lints, 64-bit Arm by running the tests under QEMU.

use clap::Args;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;
use crate::test;

const MACOS: &str = "aarch64-apple-darwin";
const ARM_LINUX: &str = "aarch64-unknown-linux-gnu";
/// Where Debian's cross packages put the C library that the tests are linked with.
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

/// Lints every crate for macOS. Nothing is linked, so no Apple tool is needed.
pub fn check_macos(repository: &Repository) -> Result<(), Failure> {
    add_target(MACOS)?;
    let mut clippy = repository.cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--target", MACOS, "--", "-D", "warnings"]);
    process::run(clippy)
}

/// Runs tests built for 64-bit Arm: here if this is such a machine, else under QEMU.
pub fn test_arm(repository: &Repository, options: &ArmOptions) -> Result<(), Failure> {
    let mut tests = test::runner(repository);
    for package in &options.packages {
        tests.args(["--package", package]);
    }
    if !cfg!(target_arch = "aarch64") {
        add_target(ARM_LINUX)?;
        let ready = process::succeeds("aarch64-linux-gnu-gcc", &["--version"])
            && process::succeeds("qemu-aarch64", &["--version"]);
        if !ready {
            let packages = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"];
            process::install_packages("the Arm linker and QEMU", &packages)?;
        }
        let runner = format!("qemu-aarch64 -cpu {} -L {ARM_LIBRARIES}", options.cpu);
        tests
            .args(["--target", ARM_LINUX])
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    }
    tests.args(&options.arguments);
    process::run(tests)
}

/// Gets the standard library of another platform through rustup, unless it is already there.
fn add_target(target: &str) -> Result<(), Failure> {
    let mut library = std::process::Command::new("rustc");
    library.args(["--print", "target-libdir", "--target", target]);
    let folder = process::output(library)?;
    // The folder's path is printed whether or not it exists.
    if std::path::Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    let mut add = std::process::Command::new("rustup");
    add.args(["target", "add", target]);
    process::run(add).map_err(|_| Failure::Missing {
        tool: format!("the Rust standard library for {target}"),
        advice: format!("run `rustup target add {target}`"),
    })
}
