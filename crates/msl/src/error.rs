//! What can go wrong between a Metal text and a function on this machine.

use std::path::PathBuf;

/// A place in Metal source: the file as the source named it, and the line in it, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Location {
    /// The file's name, as given in [`Source`](crate::Source) or in an `#include`.
    pub file: String,
    /// The line in that file, from 1.
    pub line: u32,
}

impl std::fmt::Display for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// Why a Metal text did not become a library.
#[derive(Debug, thiserror::Error)]
pub enum MslError {
    /// No usable clang was found.
    #[error("{0}")]
    NoClang(String),
    /// A header's name could leave the folder that it is written to, or hides another file.
    #[error("`{name}` cannot be the name of a Metal source file: {reason}")]
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The source says something that the lowering does not understand.
    #[error("{location}: {message}")]
    Syntax {
        /// Where.
        location: Location,
        /// What was found and what is possible.
        message: String,
    },
    /// clang refused the source. The text has one `file:line:column: error: …` for each finding.
    #[error("clang refuses the source:\n{0}")]
    Compile(String),
    /// A file or a process of the machine failed.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, such as "cannot write".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl MslError {
    /// Wraps an error of the operating system: `.map_err(MslError::io("cannot write", &path))`.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
