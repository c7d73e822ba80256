//! GGUF files, versions 2 and 3, little endian: metadata, and where each tensor lies.
//!
//! ```text
//! "GGUF" · version u32 · tensor count u64 · key count u64
//! key: name string · type u32 · value                       (string: length u64 · bytes)
//! tensor: name string · dimensions u32 · each u64, fastest first · type u32 · offset u64
//! padding to general.alignment · data, each tensor aligned too
//! ```

mod config;
mod cursor;
mod header;
mod metadata;
mod split;
mod value;

pub use config::config;
pub use header::{Header, TensorEntry};
pub use metadata::Metadata;
pub use split::{OpenedGguf, open};
pub use value::{Array, Strings, Value};

/// The first four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";
