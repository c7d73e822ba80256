//! Qwen3, dense: Qwen2 with a norm on each q and k head, and biases only where the configuration has them.

use super::common::{Biases, Common, Defaults, biases};
use super::qwen2::spans;
use crate::error::SpecError;
use crate::fields::Fields;
use crate::spec::{Attention, ModelSpec, RopePairing};

pub(super) fn spec(fields: &Fields) -> Result<ModelSpec, SpecError> {
    let common = Common::read(fields, Defaults { context: 32768, kv_heads: Some(32), head_dim: Some(128) })?;
    let attention = common.attention(fields, RopePairing::Halves)?;
    let attention = Attention { qk_norm: Some(common.norm()), ..attention };
    let biases = Biases { ffn: false, ..biases(fields, common.origin)? };
    common.model(fields, attention, biases, spans(fields, common.layers)?)
}
