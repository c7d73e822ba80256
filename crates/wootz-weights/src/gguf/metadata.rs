//! The metadata of a GGUF file: keys and values, with getters that explain what is wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::value::{Array, Strings, Value};
use crate::error::WeightsError;

/// An ordered map of keys to values. Getters come in pairs: `get_x` needs the key, `optional_x` allows its
/// absence.
#[derive(Debug, Clone)]
pub struct Metadata {
    path: PathBuf,
    entries: Vec<(String, Value)>,
    places: HashMap<String, usize>,
}

impl Metadata {
    /// An empty map of the file at `path`, which errors name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), entries: Vec::new(), places: HashMap::new() }
    }

    /// Adds a key; `false` (and nothing added) if it is there already.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> bool {
        let key = key.into();
        if self.places.contains_key(&key) {
            return false;
        }
        self.places.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        true
    }

    /// The file that it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.places.get(key).map(|place| &self.entries[*place].1)
    }

    /// An integer of any width that is not negative.
    pub fn optional_u64(&self, key: &str) -> Result<Option<u64>, WeightsError> {
        self.convert(key, "an integer that is not negative", |value| match *value {
            Value::U8(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::U32(value) => Some(value.into()),
            Value::U64(value) => Some(value),
            Value::I8(value) => value.try_into().ok(),
            Value::I16(value) => value.try_into().ok(),
            Value::I32(value) => value.try_into().ok(),
            Value::I64(value) => value.try_into().ok(),
            _ => None,
        })
    }

    /// As [`Self::optional_u64`], for what must fit 32 bits: a token id.
    pub fn optional_u32(&self, key: &str) -> Result<Option<u32>, WeightsError> {
        let Some(value) = self.optional_u64(key)? else { return Ok(None) };
        let narrow = u32::try_from(value).map_err(|_| self.wrong(key, value, "an integer below 2^32"))?;
        Ok(Some(narrow))
    }

    /// A float of either width.
    pub fn optional_f32(&self, key: &str) -> Result<Option<f32>, WeightsError> {
        self.convert(key, "a float", |value| match *value {
            Value::F32(value) => Some(value),
            Value::F64(value) => Some(value as f32),
            _ => None,
        })
    }

    /// A boolean.
    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        self.convert(key, "a bool", |value| match *value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// A string.
    pub fn optional_str(&self, key: &str) -> Result<Option<&str>, WeightsError> {
        self.convert(key, "a string", |value| match value {
            Value::String(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn optional_strings(&self, key: &str) -> Result<Option<&Strings>, WeightsError> {
        self.convert(key, "an array of strings", |value| match value {
            Value::Array(Array::Strings(values)) => Some(values),
            _ => None,
        })
    }

    /// An array of floats.
    pub fn optional_f32s(&self, key: &str) -> Result<Option<Vec<f32>>, WeightsError> {
        self.convert(key, "an array of floats", |value| match value {
            Value::Array(array) => array.to_f32s(),
            _ => None,
        })
    }

    /// An array of integers that are not negative.
    pub fn optional_u64s(&self, key: &str) -> Result<Option<Vec<u64>>, WeightsError> {
        self.convert(key, "an array of integers that are not negative", |value| match value {
            Value::Array(array) => array.to_u64s(),
            _ => None,
        })
    }

    /// As [`Self::optional_u64`]; the key must be there.
    pub fn get_u64(&self, key: &str) -> Result<u64, WeightsError> {
        self.optional_u64(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_u32`]; the key must be there.
    pub fn get_u32(&self, key: &str) -> Result<u32, WeightsError> {
        self.optional_u32(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_f32`]; the key must be there.
    pub fn get_f32(&self, key: &str) -> Result<f32, WeightsError> {
        self.optional_f32(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_bool`]; the key must be there.
    pub fn get_bool(&self, key: &str) -> Result<bool, WeightsError> {
        self.optional_bool(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_str`]; the key must be there.
    pub fn get_str(&self, key: &str) -> Result<&str, WeightsError> {
        self.optional_str(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_strings`]; the key must be there.
    pub fn get_strings(&self, key: &str) -> Result<&Strings, WeightsError> {
        self.optional_strings(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_f32s`]; the key must be there.
    pub fn get_f32s(&self, key: &str) -> Result<Vec<f32>, WeightsError> {
        self.optional_f32s(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Self::optional_u64s`]; the key must be there.
    pub fn get_u64s(&self, key: &str) -> Result<Vec<u64>, WeightsError> {
        self.optional_u64s(key)?.ok_or_else(|| self.missing(key))
    }

    /// That `key` is needed and absent.
    pub fn missing(&self, key: &str) -> WeightsError {
        WeightsError::MissingKey { path: self.path.clone(), key: key.to_string() }
    }

    /// That `key` says `found` where `expected` would be right.
    pub fn wrong(&self, key: &str, found: impl ToString, expected: impl ToString) -> WeightsError {
        WeightsError::malformed(&self.path, format_args!("metadata key {key}"), found, expected)
    }

    fn convert<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        conversion: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match conversion(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.wrong(key, value.describe(), expected)),
        }
    }
}
