//! Qwen2 and 2.5: Llama with biases on q, k and v, and windows in some layers where they are switched on.

use serde_json::Value;

use super::common::{Biases, Common, Defaults, window};
use crate::error::SpecError;
use crate::fields::{Fields, shown};
use crate::spec::{ModelSpec, RopePairing, Span};

pub(super) fn spec(fields: &Fields) -> Result<ModelSpec, SpecError> {
    let common = Common::read(fields, Defaults { context: 32768, kv_heads: Some(32), head_dim: None })?;
    let attention = common.attention(fields, RopePairing::Halves)?;
    let biases = Biases { qkv: true, ..Biases::default() };
    common.model(fields, attention, biases, spans(fields, common.layers)?)
}

/// The span of each layer: `use_sliding_window` switches windows on, `layer_types` says where, and without it
/// they begin at layer `max_window_layers`.
pub(super) fn spans(fields: &Fields, layers: usize) -> Result<Vec<Span>, SpecError> {
    let window = match fields.flag("use_sliding_window")? {
        Some(true) => window(fields)?,
        _ => None,
    };
    let Some(types) = fields.value("layer_types") else {
        let first = fields.count("max_window_layers", 0..=usize::MAX)?.unwrap_or(28);
        let span = |layer| window.filter(|_| layer >= first).unwrap_or(Span::Full);
        return Ok((0..layers).map(span).collect());
    };
    let types = types.as_array().filter(|types| types.len() == layers).ok_or_else(|| {
        let expected = format!("a list of num_hidden_layers = {layers} texts");
        SpecError::invalid("layer_types", shown(types), expected)
    })?;
    types.iter().map(|kind| layer_span(kind, window)).collect()
}

fn layer_span(kind: &Value, window: Option<Span>) -> Result<Span, SpecError> {
    match (kind.as_str(), window) {
        (Some("full_attention"), _) => Ok(Span::Full),
        (Some("sliding_attention"), Some(window)) => Ok(window),
        (Some("sliding_attention"), None) => {
            let expected = "full_attention, as use_sliding_window and sliding_window switch no window on";
            Err(SpecError::invalid("layer_types", shown(kind), expected))
        }
        _ => Err(SpecError::unsupported("layer_types", shown(kind), "full_attention, sliding_attention")),
    }
}
