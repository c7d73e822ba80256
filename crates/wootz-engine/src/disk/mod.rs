//! Pages on disk: prefixes that outlive memory and restarts.
//!
//! [`DiskCache`] belongs to the engine's thread, which never waits for a disk: blocks that it stores are queued (and
//! dropped where the queue is full), blocks that it fetches arrive later. A thread of its own reads and writes.
//!
//! ```text
//! folder/kv-<32 hex digits of the model's fingerprint>/<64 hex digits of the block's key>     see page_file
//!                                                      writing-<process>-<time>-<number>      on its way
//! ```
//!
//! A block is written under another name and then renamed, so whoever sees its file sees all of it, and a process that is
//! killed leaves at most an unnamed rest, which a later start removes. Nothing is flushed to the medium: after a
//! power failure some files may hold anything, which their checksums show. Processes may share a folder: they
//! write the same bytes under the same names, and a block that another has evicted is merely not there.
//!
//! A file's time of modification is that of its last use. The least recently used blocks go when the cap is reached,
//! whichever model they belong to.

mod cache;
mod folder;
mod index;
mod page_file;
mod place;
mod worker;

use std::path::PathBuf;

pub use cache::DiskCache;
pub use place::{NUMERICS_VERSION, default_disk_bytes, default_disk_folder, model_fingerprint};

/// Where pages are kept, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// The folder. It is made if it is not there; files in it that are not the cache's own are left alone.
    pub folder: PathBuf,
    /// The most bytes that all models' blocks in it may take. Processes that share a folder may together exceed it by
    /// a sixteenth each for a while.
    pub bytes: u64,
    /// Which model's pages they are: a fingerprint of the weights, the kind of device and the version of the numerics
    /// ([`model_fingerprint`]).
    pub model: [u8; 32],
}

/// Why there is no cache on disk.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the folder {} can't hold pages ({reason}); name another, or do without", folder.display())]
pub struct DiskError {
    /// The folder asked for.
    pub folder: PathBuf,
    /// What the system says.
    pub reason: String,
}

/// What became of a block that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It will be written.
    Queued,
    /// It is there already, and counts as used now.
    Known,
    /// It was dropped: too many bytes wait to be written, or the block alone is more than the cap.
    Full,
    /// It was dropped: an error stopped writing for a while.
    Paused,
}

/// What a cache has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskStatistics {
    /// Blocks that were fetched and arrived.
    pub hits: u64,
    /// Blocks that were fetched and were not there, or no more, or damaged.
    pub misses: u64,
    /// Blocks that were written.
    pub stored: u64,
    /// Blocks that were to be stored and were not: the queue was full, writing was paused, or it failed.
    pub dropped: u64,
    /// Blocks that were removed to stay below the cap.
    pub evicted: u64,
    /// Files that were truncated, damaged or something else than their name says; they were removed.
    pub corrupt: u64,
    /// Errors of the system while reading or writing.
    pub errors: u64,
    /// Bytes that all blocks of the folder take on disk.
    pub bytes: u64,
    /// How many blocks those are.
    pub blocks: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Whether writing is paused after an error.
    pub paused: bool,
}
