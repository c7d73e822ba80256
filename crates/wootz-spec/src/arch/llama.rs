//! Llama 1 to 3: norm before each block, grouped queries, gated SiLU. The pattern for the other families.

use super::common::{Common, Defaults, Origin, biases};
use crate::error::SpecError;
use crate::fields::Fields;
use crate::spec::{ModelSpec, RopePairing, Span};

pub(super) fn spec(fields: &Fields) -> Result<ModelSpec, SpecError> {
    let common = Common::read(fields, Defaults { context: 2048, kv_heads: None, head_dim: None })?;
    let attention = common.attention(fields, pairing(common.origin))?;
    let biases = biases(fields, common.origin)?;
    common.model(fields, attention, biases, vec![Span::Full; common.layers])
}

/// Converters permute the rows of q and k of this family so that the pairs of a rotation are neighbours.
pub(super) fn pairing(origin: Origin) -> RopePairing {
    match origin {
        Origin::HuggingFace => RopePairing::Halves,
        Origin::Gguf => RopePairing::Interleaved,
    }
}
