//! A metadata value: one of GGUF's types, arrays kept typed.

use std::fmt::Display;

use super::cursor::Cursor;
use crate::error::WeightsError;

/// Arrays in arrays deeper than this are refused: each level is a call of the parser.
const DEPTH_LIMIT: usize = 8;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of one type of values.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    Strings(Strings),
    Arrays(Vec<Array>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// Many strings in one allocation, so that a vocabulary of 150,000 tokens loads in milliseconds.
///
/// Bytes that are not UTF-8 became U+FFFD, as they do when such a token is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each string ends in `text`.
    ends: Vec<usize>,
}

impl Strings {
    /// How many strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start..end])
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.text[std::mem::replace(&mut start, *end)..*end])
    }

    /// Strings that lie in `bytes` one after another, each up to its end.
    fn from_bytes(bytes: Vec<u8>, ends: Vec<usize>) -> Self {
        // One check of the whole text is far cheaper than one of each string, and says the same if no string
        // ends within a character.
        match String::from_utf8(bytes) {
            Ok(text) if ends.iter().all(|end| text.is_char_boundary(*end)) => Self { text, ends },
            Ok(text) => Self::lossy(text.as_bytes(), &ends),
            Err(error) => Self::lossy(error.as_bytes(), &ends),
        }
    }

    fn lossy(bytes: &[u8], ends: &[usize]) -> Self {
        let mut start = 0;
        ends.iter()
            .map(|end| String::from_utf8_lossy(&bytes[std::mem::replace(&mut start, *end)..*end]))
            .collect()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut collected = Self::default();
        for string in strings {
            collected.text.push_str(string.as_ref());
            collected.ends.push(collected.text.len());
        }
        collected
    }
}

impl Value {
    /// What kind of value it is, for messages: "u32", "array of 512 strings".
    pub fn describe(&self) -> String {
        let name = match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::F32(_) => "f32",
            Self::Bool(_) => "bool",
            Self::String(_) => "string",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F64(_) => "f64",
            Self::Array(array) => return array.describe(),
        };
        name.to_string()
    }

    /// Reads a value of the type with GGUF's number `kind`.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        kind: u32,
        place: &dyn Display,
    ) -> Result<Self, WeightsError> {
        Ok(match kind {
            0 => Self::U8(u8::from_le_bytes(cursor.array(place)?)),
            1 => Self::I8(i8::from_le_bytes(cursor.array(place)?)),
            2 => Self::U16(u16::from_le_bytes(cursor.array(place)?)),
            3 => Self::I16(i16::from_le_bytes(cursor.array(place)?)),
            4 => Self::U32(u32::from_le_bytes(cursor.array(place)?)),
            5 => Self::I32(i32::from_le_bytes(cursor.array(place)?)),
            6 => Self::F32(f32::from_le_bytes(cursor.array(place)?)),
            7 => {
                let [byte] = cursor.array(place)?;
                Self::Bool(boolean(cursor, byte, place)?)
            }
            8 => Self::String(String::from_utf8_lossy(cursor.string(place)?).into_owned()),
            9 => Self::Array(Array::read(cursor, DEPTH_LIMIT, place)?),
            10 => Self::U64(u64::from_le_bytes(cursor.array(place)?)),
            11 => Self::I64(i64::from_le_bytes(cursor.array(place)?)),
            12 => Self::F64(f64::from_le_bytes(cursor.array(place)?)),
            _ => return Err(unknown_type(cursor, kind, place)),
        })
    }
}

impl Array {
    /// How many values it has.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Strings(values) => values.len(),
            Self::Arrays(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its values as u64; `None` unless they are integers that fit.
    pub fn to_u64s(&self) -> Option<Vec<u64>> {
        fn all<T: Copy + TryInto<u64>>(values: &[T]) -> Option<Vec<u64>> {
            values.iter().map(|value| (*value).try_into().ok()).collect()
        }
        match self {
            Self::U8(values) => all(values),
            Self::I8(values) => all(values),
            Self::U16(values) => all(values),
            Self::I16(values) => all(values),
            Self::U32(values) => all(values),
            Self::I32(values) => all(values),
            Self::U64(values) => all(values),
            Self::I64(values) => all(values),
            _ => None,
        }
    }

    /// Its values as f32; `None` unless they are floats.
    pub fn to_f32s(&self) -> Option<Vec<f32>> {
        match self {
            Self::F32(values) => Some(values.clone()),
            Self::F64(values) => Some(values.iter().map(|value| *value as f32).collect()),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        let name = match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::F32(_) => "f32",
            Self::Bool(_) => "bool",
            Self::Strings(_) => "string",
            Self::Arrays(_) => "array",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F64(_) => "f64",
        };
        format!("an array of {} {name} values", self.len())
    }

    fn read(cursor: &mut Cursor<'_>, depth: usize, place: &dyn Display) -> Result<Self, WeightsError> {
        let kind = cursor.u32(place)?;
        let count = cursor.u64(place)?;
        Ok(match kind {
            0 => Self::U8(cursor.take(count, place)?.to_vec()),
            1 => Self::I8(numbers(cursor, count, i8::from_le_bytes, place)?),
            2 => Self::U16(numbers(cursor, count, u16::from_le_bytes, place)?),
            3 => Self::I16(numbers(cursor, count, i16::from_le_bytes, place)?),
            4 => Self::U32(numbers(cursor, count, u32::from_le_bytes, place)?),
            5 => Self::I32(numbers(cursor, count, i32::from_le_bytes, place)?),
            6 => Self::F32(numbers(cursor, count, f32::from_le_bytes, place)?),
            7 => {
                let bytes = cursor.take(count, place)?;
                Self::Bool(bytes.iter().map(|byte| boolean(cursor, *byte, place)).collect::<Result<_, _>>()?)
            }
            8 => {
                // A string takes at least its length field.
                let count = cursor.expect_items(count, 8, place)?;
                let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(count));
                for _ in 0..count {
                    bytes.extend_from_slice(cursor.string(place)?);
                    ends.push(bytes.len());
                }
                Self::Strings(Strings::from_bytes(bytes, ends))
            }
            9 => {
                if depth == 0 {
                    return Err(cursor.malformed(
                        place,
                        format_args!("arrays nested deeper than {DEPTH_LIMIT}"),
                        "a value",
                    ));
                }
                let count = cursor.expect_items(count, 12, place)?;
                let mut arrays = Vec::new();
                for _ in 0..count {
                    arrays.push(Self::read(cursor, depth - 1, place)?);
                }
                Self::Arrays(arrays)
            }
            10 => Self::U64(numbers(cursor, count, u64::from_le_bytes, place)?),
            11 => Self::I64(numbers(cursor, count, i64::from_le_bytes, place)?),
            12 => Self::F64(numbers(cursor, count, f64::from_le_bytes, place)?),
            _ => return Err(unknown_type(cursor, kind, place)),
        })
    }
}

fn numbers<const N: usize, T>(
    cursor: &mut Cursor<'_>,
    count: u64,
    decode: fn([u8; N]) -> T,
    place: &dyn Display,
) -> Result<Vec<T>, WeightsError> {
    let (chunks, _) = cursor.take_items(count, N as u64, place)?.as_chunks();
    Ok(chunks.iter().map(|chunk| decode(*chunk)).collect())
}

fn boolean(cursor: &Cursor<'_>, byte: u8, place: &dyn Display) -> Result<bool, WeightsError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(cursor.malformed(place, format_args!("the byte {byte} as a bool"), "0 or 1")),
    }
}

fn unknown_type(cursor: &Cursor<'_>, kind: u32, place: &dyn Display) -> WeightsError {
    cursor.malformed(place, format_args!("a value of unknown type {kind}"), "a type from 0 (u8) to 12 (f64)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_are_no_utf8_are_repaired_alone() {
        // The two halves of "é" in neighbouring strings are valid together, but not each.
        let strings = Strings::from_bytes(b"a\xc3\xa9b\xffc".to_vec(), vec![2, 4, 4, 6]);
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["a\u{fffd}", "\u{fffd}b", "", "\u{fffd}c"]);
        let split = Strings::from_bytes("é".as_bytes().to_vec(), vec![1, 2]);
        assert_eq!(split.iter().collect::<Vec<_>>(), ["\u{fffd}", "\u{fffd}"]);
        let whole = Strings::from_bytes("éa".as_bytes().to_vec(), vec![2, 3]);
        assert_eq!(whole.iter().collect::<Vec<_>>(), ["é", "a"]);
    }
}
