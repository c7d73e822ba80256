//! Running other programs, and getting those that are missing.

use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Runs a command with its output shown, after a line that says what runs.
pub fn run(mut command: Command) -> Result<(), Failure> {
    let line = describe(&command);
    eprintln!("$ {line}");
    let status = command.status().map_err(|error| absent(&command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Command { command: line, status: status.to_string() })
    }
}

/// Runs a command and returns what it printed.
pub fn output(mut command: Command) -> Result<String, Failure> {
    let result = command.stderr(Stdio::inherit()).output().map_err(|error| absent(&command, &error))?;
    if !result.status.success() {
        return Err(Failure::Command { command: describe(&command), status: result.status.to_string() });
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Whether a program with these arguments can be run and succeeds. Its output is dropped.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Installs Debian packages as root, or says what to run.
pub fn install_packages(tool: &str, packages: &[&str]) -> Result<(), Failure> {
    let names = packages.join(" ");
    let missing =
        || Failure::Missing { tool: tool.to_owned(), advice: format!("run `sudo apt-get install {names}`") };
    if !succeeds("apt-get", &["--version"]) || !is_root() {
        return Err(missing());
    }
    // A package list that can't be refreshed may still be good enough to install from.
    let _ = run(apt_get(&["-qq", "update"]));
    let mut arguments = vec!["-qq", "install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    run(apt_get(&arguments)).map_err(|_| missing())
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    command
}

fn is_root() -> bool {
    let result = Command::new("id").arg("-u").output();
    result.is_ok_and(|result| result.stdout.trim_ascii() == b"0")
}

fn absent(command: &Command, error: &std::io::Error) -> Failure {
    Failure::Missing {
        tool: command.get_program().to_string_lossy().into_owned(),
        advice: format!("it could not be started ({error})"),
    }
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
