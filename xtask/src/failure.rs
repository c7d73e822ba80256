//! Why a chore did not succeed.

use std::path::PathBuf;

/// Why a chore did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A command ran and said no.
    #[error("`{command}` failed ({status})")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
    },
    /// A tool is absent and could not be installed from here. `check --skip-unavailable` goes on after this one.
    #[error("{tool} is missing: {advice}")]
    Missing {
        /// What is absent.
        tool: String,
        /// How to get it.
        advice: String,
    },
    /// A gate found something; the findings have been printed.
    #[error("{gate}: {findings} to mend")]
    Gate {
        /// Which gate.
        gate: &'static str,
        /// How many findings.
        findings: usize,
    },
    /// A file could not be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The steps of `check` that failed.
    #[error("failed: {0}")]
    Steps(String),
}
