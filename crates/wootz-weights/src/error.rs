//! What can be wrong with a checkpoint, told so that its owner can act on it.

use std::path::PathBuf;

/// Why a checkpoint, or a part of it, cannot be used. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb: "open", "map", "read".
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The path holds no checkpoint of a known format.
    #[error("{} is not a model: found {found}; expected {expected}", path.display())]
    NotACheckpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What could have been there.
        expected: String,
    },
    /// The file ends before what it announces.
    #[error("{} is truncated or damaged: {place} needs {needed} bytes at offset {offset}, the file has {length}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The part that does not fit: "metadata key tokenizer.ggml.tokens", "tensor output.weight".
        place: String,
        /// How many bytes it announces.
        needed: u64,
        /// Where in the file it begins.
        offset: u64,
        /// The length of the file.
        length: u64,
    },
    /// The bytes are there but say something that cannot be.
    #[error("{}: {place}: found {found}; expected {expected}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The part that is wrong: "header", "metadata key llama.block_count", "tensor output.weight".
        place: String,
        /// What it says.
        found: String,
        /// What it could say.
        expected: String,
    },
    /// A tensor is stored in a way that Wootz cannot read.
    #[error("{}: tensor {tensor} has the type {found}, which is not supported; supported are {supported}", path.display())]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Its type: a name where one is known, else the number.
        found: String,
        /// The types that are supported.
        supported: String,
    },
    /// A tensor that the model needs is there only in a quantised form that Wootz cannot read.
    #[error("{} has no tensor {tensor}, since it is quantised by {method}, which is not supported; supported are safetensors in F32, F16 or BF16, and GGUF files of any type", path.display())]
    UnsupportedQuantization {
        /// The checkpoint.
        path: PathBuf,
        /// The name that was asked for.
        tensor: String,
        /// What `config.json` says about the method: `gptq`.
        method: String,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error("{} has no tensor {tensor}; it has {count} others{similar}", path.display())]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The name that was asked for.
        tensor: String,
        /// How many tensors there are.
        count: usize,
        /// Names that look like it, or nothing.
        similar: String,
    },
    /// A metadata key that is needed is absent.
    #[error("{} has no metadata key {key}", path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
}

impl WeightsError {
    /// For `map_err`: the operating system's refusal to do `action` ("open") on `path`.
    pub fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }

    /// A [`WeightsError::Malformed`] from what can be displayed.
    pub fn malformed(
        path: impl Into<PathBuf>,
        place: impl ToString,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        Self::Malformed {
            path: path.into(),
            place: place.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }
}
