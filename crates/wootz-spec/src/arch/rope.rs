//! Rotary position embedding as configurations spell it: at the top level with `rope_scaling` (Transformers 4),
//! or all within `rope_parameters` (Transformers 5).

use std::ops::RangeInclusive;

use crate::error::SpecError;
use crate::fields::{Fields, shown};
use crate::spec::{Rope, RopePairing, RopeScaling, YarnBounds};

const SUPPORTED: &str = "default, linear, llama3, yarn";
/// The base is divided by and its logarithm too, so 1 is out.
const BASES: RangeInclusive<f64> = 1.000_001..=1e18;
const FACTORS: RangeInclusive<f64> = 1e-6..=1e6;
const CONTEXTS: RangeInclusive<usize> = 1..=1 << 30;

pub(super) fn read(
    fields: &Fields,
    pairing: RopePairing,
    head_dim: usize,
    context: usize,
) -> Result<Rope, SpecError> {
    // Transformers prefers the old key where both are written.
    let parameters = match fields.object("rope_scaling.")? {
        Some(parameters) => Some(parameters),
        None => fields.object("rope_parameters.")?,
    };
    if let Some((parameters, name)) = parameters.and_then(|p| p.first_object().map(|name| (p, name))) {
        let supported = "one set of rotary parameters for all layers";
        return Err(SpecError::unsupported(&parameters.path(name), "a set of its own", supported));
    }
    // What stands within the object wins over what stands beside it.
    let number = |field, range: RangeInclusive<f64>| match parameters.map(|p| p.number(field, range.clone()))
    {
        Some(Ok(None)) | None => fields.number(field, range),
        Some(found) => found,
    };
    let theta = number("rope_theta", BASES)?.unwrap_or(10_000.0) as f32;
    let part = number("partial_rotary_factor", 0.0..=1.0)?.unwrap_or(1.0);
    // A GGUF file's share is a quotient of two counts: its product may fall short of the count by rounding.
    let dims = (head_dim as f64 * part + 1e-6) as usize;
    if !dims.is_multiple_of(2) || dims == 0 {
        let expected = format!("an even part of head_dim = {head_dim}");
        return Err(SpecError::invalid("partial_rotary_factor", part, expected));
    }
    let scaling = match parameters {
        Some(parameters) => scaling(fields, &parameters, context)?,
        None => RopeScaling::None,
    };
    let scaling = match (fields.flag("rope_factors")?, scaling) {
        (Some(true), RopeScaling::None) => RopeScaling::Factors,
        (Some(true), _) => {
            let supported = "rope_freqs.weight alone, or a rope type alone";
            return Err(SpecError::unsupported("rope_factors", "true beside a rope type", supported));
        }
        (_, scaling) => scaling,
    };
    Ok(Rope { theta, dims, pairing, scaling })
}

fn scaling(fields: &Fields, parameters: &Fields, context: usize) -> Result<RopeScaling, SpecError> {
    // "type" is the name that Transformers had before 4.45.
    let (field, kind) = match parameters.text("rope_type")? {
        Some(kind) => ("rope_type", kind),
        None => ("type", parameters.text("type")?.unwrap_or("default")),
    };
    let factor = |field| parameters.number(field, FACTORS);
    let required = |field| factor(field)?.map(|x| x as f32).ok_or_else(|| parameters.missing(field));
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear(required("factor")?)),
        "llama3" => {
            let (low, high) = (required("low_freq_factor")?, required("high_freq_factor")?);
            if low >= high {
                let expected = format!("less than high_freq_factor = {high}");
                return Err(SpecError::invalid(&parameters.path("low_freq_factor"), low, expected));
            }
            let original = original_context(fields, parameters, context)?;
            Ok(RopeScaling::Llama3 { factor: required("factor")?, low, high, original })
        }
        "yarn" => yarn(fields, parameters, context),
        other => Err(SpecError::unsupported(&parameters.path(field), shown(&other.into()), SUPPORTED)),
    }
}

fn yarn(fields: &Fields, parameters: &Fields, context: usize) -> Result<RopeScaling, SpecError> {
    let original = original_context(fields, parameters, context)?;
    let optional = |field| parameters.number(field, 0.0..=*FACTORS.end());
    let factor = match parameters.number("factor", FACTORS)? {
        Some(factor) => factor,
        None => context as f64 / original as f64,
    };
    // Transformers takes 0 for absent in all of these but the attention factor.
    let given = |field| optional(field).map(|value| value.filter(|&x| x != 0.0));
    let magnitude = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
    let attention_factor = match (optional("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
        (Some(attention_factor), ..) => attention_factor,
        (None, Some(mscale), Some(all)) => magnitude(mscale) / magnitude(all),
        (None, ..) => magnitude(1.0),
    };
    let bounds = match parameters.flag("truncate")? {
        Some(false) => YarnBounds::Fractional,
        _ => YarnBounds::Whole,
    };
    Ok(RopeScaling::Yarn {
        factor: factor as f32,
        beta_fast: given("beta_fast")?.unwrap_or(32.0) as f32,
        beta_slow: given("beta_slow")?.unwrap_or(1.0) as f32,
        bounds,
        attention_factor: attention_factor as f32,
        original,
    })
}

/// The context before stretching: beside the parameters, within them, or the context itself.
fn original_context(fields: &Fields, parameters: &Fields, context: usize) -> Result<usize, SpecError> {
    const FIELD: &str = "original_max_position_embeddings";
    let found = match fields.count(FIELD, CONTEXTS)? {
        Some(original) => Some(original),
        None => parameters.count(FIELD, CONTEXTS)?,
    };
    Ok(found.unwrap_or(context))
}
