//! Pages on disk: prefixes that outlive memory and restarts.

use std::path::PathBuf;

/// Where pages are kept, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// The folder.
    pub folder: PathBuf,
    /// The most bytes that it may hold.
    pub bytes: u64,
    /// Which model's pages they are: a fingerprint of the weights, the kind of device and the version of the numerics.
    pub model: [u8; 32],
}
