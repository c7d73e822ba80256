//! Typed reading of a configuration's fields, with errors that name field and value.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::error::SpecError;

/// One JSON object of a configuration. `null` counts as absent, as it does in Transformers.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The object's own name with a dot after it; empty for the whole configuration.
    prefix: &'static str,
}

impl<'a> Fields<'a> {
    pub fn root(config: &'a Value) -> Result<Fields<'a>, SpecError> {
        match config {
            Value::Object(object) => Ok(Fields { object, prefix: "" }),
            other => Err(SpecError::NotAnObject { found: shown(other) }),
        }
    }

    /// The object in a field; `None` where the field is absent or an empty object. `prefix` is its name and a dot.
    pub fn object(&self, prefix: &'static str) -> Result<Option<Fields<'a>>, SpecError> {
        match self.value(prefix.trim_end_matches('.')) {
            None => Ok(None),
            Some(Value::Object(object)) if object.is_empty() => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Fields { object, prefix })),
            Some(other) => Err(SpecError::invalid(prefix.trim_end_matches('.'), shown(other), "an object")),
        }
    }

    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field is written at all, even as `null`.
    pub fn is_written(&self, field: &str) -> bool {
        self.object.contains_key(field)
    }

    /// The first field that holds an object.
    pub fn first_object(&self) -> Option<&'a str> {
        self.object.iter().find(|(_, value)| value.is_object()).map(|(name, _)| name.as_str())
    }

    /// The field's full name.
    pub fn path(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// A whole number within a range.
    pub fn count(&self, field: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, SpecError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        // Some writers spell whole numbers as 32768.0; bounds below keep the conversion exact.
        let whole = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0).map(|x| x as u64));
        match whole.and_then(|whole| usize::try_from(whole).ok()).filter(|count| range.contains(count)) {
            Some(count) => Ok(Some(count)),
            None => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(SpecError::invalid(&self.path(field), shown(value), expected))
            }
        }
    }

    /// A number that is finite as f32 and within a range.
    pub fn number(&self, field: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, SpecError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                Err(SpecError::invalid(&self.path(field), shown(value), expected))
            }
        }
    }

    pub fn flag(&self, field: &str) -> Result<Option<bool>, SpecError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(SpecError::invalid(&self.path(field), shown(other), "true or false")),
        }
    }

    pub fn text(&self, field: &str) -> Result<Option<&'a str>, SpecError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(SpecError::invalid(&self.path(field), shown(other), "a text")),
        }
    }

    pub fn missing(&self, field: &str) -> SpecError {
        SpecError::Missing { field: self.path(field) }
    }
}

/// A value as an error message shows it: on one line, and short even where the value is not.
pub(crate) fn shown(value: &Value) -> String {
    const LIMIT: usize = 60;
    let text = match value {
        Value::Array(items) => return format!("a list of {}", items.len()),
        Value::Object(object) => return format!("an object of {} fields", object.len()),
        other => other.to_string(),
    };
    if text.chars().count() <= LIMIT {
        return text;
    }
    text.chars().take(LIMIT).chain("…".chars()).collect()
}
