//! The part of a GGUF file before its data: metadata, and each tensor's name, type, shape and place.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::MAGIC;
use super::cursor::Cursor;
use super::metadata::Metadata;
use super::value::Value;
use crate::error::WeightsError;
use crate::tensor::{TensorType, tensor_bytes};

/// ggml's own limit.
const DIMENSION_LIMIT: u32 = 4;

/// What a GGUF file says before its data begins.
#[derive(Debug, Clone)]
pub struct Header {
    /// The format's version: 2 or 3.
    pub version: u32,
    /// Keys and values.
    pub metadata: Metadata,
    /// The tensors, in the file's order. Their bytes lie within the file and do not overlap.
    pub tensors: Vec<TensorEntry>,
}

/// A tensor as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// How its elements are stored.
    pub kind: TensorType,
    /// Its dimensions, slowest first (a GGUF file has them fastest first).
    pub shape: Vec<usize>,
    /// Where its bytes are in the file.
    pub bytes: Range<usize>,
}

/// A part of the file, for messages. Made without allocating, since most are never shown.
enum Place<'a> {
    Header,
    KeyName(u64),
    Key(&'a str),
    TensorName(u64),
    Tensor(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => formatter.write_str("header"),
            Self::KeyName(index) => write!(formatter, "name of metadata key number {index}"),
            Self::Key(name) => write!(formatter, "metadata key {name}"),
            Self::TensorName(index) => write!(formatter, "name of tensor number {index}"),
            Self::Tensor(name) => write!(formatter, "tensor {name}"),
        }
    }
}

impl Header {
    /// Reads the header of the file at `path`, whose whole content is `bytes`.
    ///
    /// # Errors
    /// Names the part of the file that is wrong. Nothing is allocated that bytes of the file do not justify.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, WeightsError> {
        let mut cursor = Cursor::new(path, bytes);
        let version = read_version(&mut cursor)?;
        let tensor_count = cursor.u64(&Place::Header)?;
        let key_count = cursor.u64(&Place::Header)?;
        let metadata = read_metadata(&mut cursor, path, key_count)?;
        let tensors = read_tensors(&mut cursor, tensor_count)?;
        let alignment = read_alignment(&metadata)?;
        let data = cursor.position().next_multiple_of(alignment);
        let tensors = tensors
            .into_iter()
            .map(|tensor| tensor.locate(path, data, alignment, bytes.len()))
            .collect::<Result<Vec<_>, _>>()?;
        check_overlaps(path, &tensors)?;
        Ok(Self { version, metadata, tensors })
    }
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, WeightsError> {
    let place = Place::Header;
    let magic: [u8; 4] = cursor.array(&place)?;
    if magic != MAGIC {
        return Err(cursor.malformed(&place, format_args!("the magic bytes {magic:02x?}"), "\"GGUF\""));
    }
    let version = cursor.u32(&place)?;
    match version {
        2 | 3 => Ok(version),
        _ if version & 0xffff == 0 && version != 0 => {
            Err(cursor.malformed(&place, "a big-endian GGUF file", "a little-endian one, version 2 or 3"))
        }
        _ => Err(cursor.malformed(&place, format_args!("GGUF version {version}"), "version 2 or 3")),
    }
}

fn read_metadata(cursor: &mut Cursor<'_>, path: &Path, count: u64) -> Result<Metadata, WeightsError> {
    // A name's length, a type and a byte of value at least.
    cursor.expect_items(count, 13, &Place::Header)?;
    let mut metadata = Metadata::new(path);
    for index in 0..count {
        let name = cursor.name(&Place::KeyName(index))?;
        let place = Place::Key(&name);
        let kind = cursor.u32(&place)?;
        let value = Value::read(cursor, kind, &place)?;
        if metadata.get(&name).is_some() {
            return Err(cursor.malformed(&place, "it twice", "each key once"));
        }
        metadata.insert(name, value);
    }
    Ok(metadata)
}

fn read_alignment(metadata: &Metadata) -> Result<usize, WeightsError> {
    let key = "general.alignment";
    let alignment = metadata.optional_u32(key)?.unwrap_or(32);
    if alignment < 8 || !alignment.is_power_of_two() {
        return Err(metadata.wrong(key, alignment, "a power of two, 8 or more"));
    }
    Ok(alignment as usize)
}

/// A tensor whose place is still an offset into the data section.
struct Unlocated {
    name: String,
    kind: TensorType,
    shape: Vec<usize>,
    offset: u64,
}

fn read_tensors(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<Unlocated>, WeightsError> {
    // A name's length, the number of dimensions, the type and the offset.
    cursor.expect_items(count, 24, &Place::Header)?;
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for index in 0..count {
        let name = cursor.name(&Place::TensorName(index))?;
        let tensor = read_tensor(cursor, name)?;
        if !names.insert(tensor.name.clone()) {
            return Err(cursor.malformed(&Place::Tensor(&tensor.name), "it twice", "each tensor once"));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_tensor(cursor: &mut Cursor<'_>, name: String) -> Result<Unlocated, WeightsError> {
    let place = Place::Tensor(&name);
    let dimensions = cursor.u32(&place)?;
    if dimensions > DIMENSION_LIMIT {
        let expected = format_args!("at most {DIMENSION_LIMIT}");
        return Err(cursor.malformed(&place, format_args!("{dimensions} dimensions"), expected));
    }
    let mut shape = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        let dimension = cursor.u64(&place)?;
        shape.push(usize::try_from(dimension).map_err(|_| {
            cursor.malformed(&place, format_args!("a dimension of {dimension}"), "one that fits memory")
        })?);
    }
    shape.reverse();
    let number = cursor.u32(&place)?;
    let kind = TensorType::from_ggml(number).ok_or_else(|| WeightsError::UnsupportedType {
        path: cursor.path().to_path_buf(),
        tensor: name.clone(),
        found: unsupported_name(number),
        supported: TensorType::names(),
    })?;
    let offset = cursor.u64(&place)?;
    Ok(Unlocated { name, kind, shape, offset })
}

/// Numbers that once meant something, or that newer files use.
fn unsupported_name(number: u32) -> String {
    let name = match number {
        4 => "Q4_2, removed from ggml",
        5 => "Q4_3, removed from ggml",
        31 => "Q4_0_4_4, removed from ggml: use Q4_0",
        32 => "Q4_0_4_8, removed from ggml: use Q4_0",
        33 => "Q4_0_8_8, removed from ggml: use Q4_0",
        36 => "IQ4_NL_4_4, removed from ggml: use IQ4_NL",
        37 => "IQ4_NL_4_8, removed from ggml: use IQ4_NL",
        38 => "IQ4_NL_8_8, removed from ggml: use IQ4_NL",
        41 => "Q1_0",
        42 => "Q2_0",
        _ => return format!("number {number}"),
    };
    format!("number {number} ({name})")
}

impl Unlocated {
    /// Its place in the file, where the data section begins at `data` and the file has `length` bytes.
    fn locate(
        self,
        path: &Path,
        data: usize,
        alignment: usize,
        length: usize,
    ) -> Result<TensorEntry, WeightsError> {
        let Self { name, kind, shape, offset } = self;
        let place = Place::Tensor(&name);
        let needed = tensor_bytes(kind, &shape).map_err(|problem| {
            WeightsError::malformed(path, &place, problem, "dimensions that are not zero, in whole blocks")
        })?;
        if !offset.is_multiple_of(alignment as u64) {
            let expected = format_args!("a multiple of the alignment {alignment}");
            return Err(WeightsError::malformed(path, &place, format_args!("the offset {offset}"), expected));
        }
        let start = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(data));
        match start
            .and_then(|start| Some(start..start.checked_add(needed)?))
            .filter(|range| range.end <= length)
        {
            Some(bytes) => Ok(TensorEntry { name, kind, shape, bytes }),
            None => Err(WeightsError::Truncated {
                path: path.to_path_buf(),
                place: place.to_string(),
                needed: needed as u64,
                offset: offset.saturating_add(data as u64),
                length: length as u64,
            }),
        }
    }
}

fn check_overlaps(path: &Path, tensors: &[TensorEntry]) -> Result<(), WeightsError> {
    let mut sorted: Vec<&TensorEntry> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.bytes.start);
    for pair in sorted.windows(2) {
        let [first, second] = [pair[0], pair[1]];
        if second.bytes.start < first.bytes.end {
            return Err(WeightsError::malformed(
                path,
                Place::Tensor(&second.name),
                format_args!(
                    "its bytes {:?} overlapping {:?} of tensor {}",
                    second.bytes, first.bytes, first.name
                ),
                "tensors apart from each other",
            ));
        }
    }
    Ok(())
}
