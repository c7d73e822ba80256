//! The header of a safetensors file: `length u64 · JSON · data`.
//!
//! The JSON maps each name to `{"dtype": "BF16", "shape": [out, in], "data_offsets": [start, end]}`, offsets
//! counted from the end of the header, and `__metadata__` to free text.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::WeightsError;
use crate::tensor::{TensorType, tensor_bytes};

/// More dimensions than any model's tensors have; keeps messages that show a shape short.
const DIMENSION_LIMIT: usize = 16;

/// What a safetensors file says before its data begins.
#[derive(Debug, Clone)]
pub struct Header {
    /// The tensors by offset. Their bytes lie within the file and do not overlap.
    pub tensors: Vec<HeaderEntry>,
}

/// A tensor as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEntry {
    /// Its name.
    pub name: String,
    /// How its elements are stored; where Wootz cannot read it, what it is instead, for messages.
    pub kind: Result<TensorType, String>,
    /// Its dimensions, slowest first.
    pub shape: Vec<usize>,
    /// Where its bytes are in the file.
    pub bytes: Range<usize>,
}

/// One value of the JSON object.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The JSON object in the file's order, with duplicates, which a map would hide.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with a tensor's dtype, shape and data_offsets under each name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Header {
    /// Reads the header of the file at `path`, whose whole content is `bytes`.
    ///
    /// # Errors
    /// Names the part of the file that is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, WeightsError> {
        let truncated = |place: &str, needed, offset| WeightsError::Truncated {
            path: path.to_path_buf(),
            place: place.to_string(),
            needed,
            offset,
            length: bytes.len() as u64,
        };
        let (length, rest) = bytes.split_first_chunk().ok_or_else(|| truncated("header length", 8, 0))?;
        let length = u64::from_le_bytes(*length);
        let header = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let header = header.ok_or_else(|| truncated("header", length, 8))?;
        let Entries(entries) = serde_json::from_slice(header).map_err(|error| {
            WeightsError::malformed(path, "header", format_args!("invalid JSON ({error})"), "JSON")
        })?;
        let data = 8 + header.len();
        let mut tensors = entries
            .into_iter()
            .map(|(name, entry)| locate(path, name, entry, data, bytes.len()))
            .collect::<Result<Vec<_>, _>>()?;
        tensors.sort_by_key(|tensor| tensor.bytes.start);
        check_overlaps(path, &tensors)?;
        Ok(Self { tensors })
    }
}

/// The type of the dtype called `name`, where Wootz reads it.
fn tensor_type(name: &str) -> Option<TensorType> {
    Some(match name {
        "F32" => TensorType::F32,
        "F16" => TensorType::F16,
        "BF16" => TensorType::BF16,
        "F64" => TensorType::F64,
        "I8" => TensorType::I8,
        "I16" => TensorType::I16,
        "I32" => TensorType::I32,
        "I64" => TensorType::I64,
        _ => return None,
    })
}

fn locate(
    path: &Path,
    name: String,
    entry: Entry,
    data: usize,
    length: usize,
) -> Result<HeaderEntry, WeightsError> {
    let place = format!("tensor {name}");
    let [start, end] = entry.data_offsets;
    if start > end {
        return Err(WeightsError::malformed(
            path,
            place,
            format_args!("data_offsets [{start}, {end}]"),
            "start ≤ end",
        ));
    }
    let in_file = |offset: u64| usize::try_from(offset).ok().and_then(|offset| offset.checked_add(data));
    let Some(bytes) = in_file(start).zip(in_file(end)).filter(|(_, end)| *end <= length) else {
        return Err(WeightsError::Truncated {
            path: path.to_path_buf(),
            place,
            needed: end - start,
            offset: start.saturating_add(data as u64),
            length: length as u64,
        });
    };
    if entry.shape.len() > DIMENSION_LIMIT {
        let expected = format_args!("at most {DIMENSION_LIMIT}");
        return Err(WeightsError::malformed(
            path,
            place,
            format_args!("{} dimensions", entry.shape.len()),
            expected,
        ));
    }
    let dimension = |dimension: &u64| usize::try_from(*dimension).ok();
    let Some(shape) = entry.shape.iter().map(dimension).collect::<Option<Vec<usize>>>() else {
        let found = format!("the shape {:?}", entry.shape);
        return Err(WeightsError::malformed(path, place, found, "dimensions that fit memory"));
    };
    let kind = match tensor_type(&entry.dtype) {
        None => Err(entry.dtype),
        // Checkpoints may hold empty tensors, which no model reads.
        Some(kind) if shape.contains(&0) => Err(format!("{kind} without elements (shape {shape:?})")),
        Some(kind) => {
            let needed = tensor_bytes(kind, &shape).map_err(|problem| {
                WeightsError::malformed(path, &place, problem, "a shape that fits memory")
            })?;
            if needed != bytes.1 - bytes.0 {
                let found = format!("{} bytes for the shape {shape:?} of {kind}", bytes.1 - bytes.0);
                return Err(WeightsError::malformed(path, place, found, needed));
            }
            Ok(kind)
        }
    };
    Ok(HeaderEntry { name, kind, shape, bytes: bytes.0..bytes.1 })
}

fn check_overlaps(path: &Path, tensors: &[HeaderEntry]) -> Result<(), WeightsError> {
    for pair in tensors.windows(2) {
        let [first, second] = [&pair[0], &pair[1]];
        if second.bytes.start < first.bytes.end {
            let found =
                format!("its bytes {:?} overlapping {:?} of {}", second.bytes, first.bytes, first.name);
            let place = format_args!("tensor {}", second.name);
            return Err(WeightsError::malformed(path, place, found, "tensors apart from each other"));
        }
    }
    let mut names = std::collections::HashSet::new();
    match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        Some(twice) => Err(WeightsError::malformed(
            path,
            format_args!("tensor {}", twice.name),
            "it twice",
            "each tensor once",
        )),
        None => Ok(()),
    }
}
