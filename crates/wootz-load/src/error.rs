//! What can keep a load from being measured.

use std::path::PathBuf;

/// Why nothing was measured. What goes wrong with single requests is counted instead: [`crate::record::ErrorKind`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not an address.
    #[error(
        "{address} is no address of a server ({why}): http://HOST:PORT is possible, or NAME=http://HOST:PORT"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// An address with https.
    #[error("{0}: https is not supported, only http: measure the server itself, not a proxy that encrypts")]
    Https(String),
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is too large to be what it should be.
    #[error("{path} has {bytes} bytes: traces and prompts may have up to {limit}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A line that is not what the file's format asks for.
    #[error("{path}, line {line}: {what}")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What was found, and what is possible.
        what: String,
    },
    /// A file without anything in it.
    #[error("{path} has no {what}")]
    Empty {
        /// The file.
        path: String,
        /// What is missing.
        what: &'static str,
    },
    /// A setting that is not possible.
    #[error("{0}")]
    Setting(String),
    /// A server that could not be asked for its model.
    #[error("{name} ({address}) does not answer: {why}")]
    Unreachable {
        /// The server's name.
        name: String,
        /// Its address.
        address: String,
        /// What happened.
        why: String,
    },
    /// A warm-up request that failed: the measured ones would, too.
    #[error("{name} ({address}) failed the first request: {why}")]
    WarmUp {
        /// The server's name.
        name: String,
        /// Its address.
        address: String,
        /// What happened.
        why: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}
