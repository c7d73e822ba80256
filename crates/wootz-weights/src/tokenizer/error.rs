//! Why a tokenizer cannot be built or cannot do what it was asked.

use crate::error::WeightsError;

/// Why a tokenizer cannot be built or cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file is missing, damaged or says what cannot be.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A part of the tokenizer is of a kind that Wootz does not know.
    #[error("{file}: the {part} {found} is not supported; supported are {supported}")]
    Unsupported {
        /// The file.
        file: String,
        /// "tokenizer model", "pre-tokenizer", "decoder".
        part: &'static str,
        /// What the file names.
        found: String,
        /// What it could name.
        supported: String,
    },
    /// The model has no tokenizer: it takes and gives ids only.
    #[error("this model has no tokenizer: it takes token ids, not text")]
    NoText,
    /// An id outside the vocabulary.
    #[error("token {id} is not in the vocabulary, which has {size} tokens")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Number of tokens.
        size: usize,
    },
    /// The text cannot be encoded: a character is unknown and the vocabulary has no token for unknown ones.
    #[error("the text cannot be encoded: {0}")]
    Encoding(String),
}
