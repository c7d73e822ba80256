//! Mistral: Llama without biases, with a window of attention in all layers unless `sliding_window` is null.

use super::common::{Biases, Common, Defaults, Origin, biases, window};
use super::llama::pairing;
use crate::error::SpecError;
use crate::fields::Fields;
use crate::spec::{ModelSpec, Span};

pub(super) fn spec(fields: &Fields) -> Result<ModelSpec, SpecError> {
    let common = Common::read(fields, Defaults { context: 4096 * 32, kv_heads: Some(8), head_dim: None })?;
    let attention = common.attention(fields, pairing(common.origin))?;
    // Transformers' class has this window; a GGUF file says all it means.
    let unwritten = match common.origin {
        Origin::HuggingFace if !fields.is_written("sliding_window") => Span::Window(4096),
        _ => Span::Full,
    };
    let span = window(fields)?.unwrap_or(unwritten);
    // GGUF files of this family are Llama's with a window, and may be of a model that has biases.
    let biases = match common.origin {
        Origin::HuggingFace => Biases::default(),
        Origin::Gguf => biases(fields, common.origin)?,
    };
    common.model(fields, attention, biases, vec![span; common.layers])
}
