//! What is on disk: checkpoints, quantisation codecs, tokenizers and chat templates.
#![deny(unsafe_code)]

pub mod chat_template;
pub mod checkpoint;
pub mod error;
mod fingerprint;
pub mod gguf;
pub mod mapped;
mod quant;
pub mod safetensors;
pub mod tensor;
pub mod tokenizer;

pub use checkpoint::{Checkpoint, CheckpointFormat};
pub use error::WeightsError;
pub use fingerprint::fingerprint;
pub use mapped::MappedFile;
pub use tensor::{Tensor, TensorType};
