//! Reading forward through bytes that may be hostile: every read is checked against what is there.

use std::fmt::Display;
use std::path::Path;

use crate::error::WeightsError;

/// A position in a file's bytes.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, position: 0 }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `count` bytes; `place` is the part of the file they belong to, for the error.
    pub(super) fn take(&mut self, count: u64, place: &dyn Display) -> Result<&'a [u8], WeightsError> {
        let rest = &self.bytes[self.position..];
        match usize::try_from(count).ok().and_then(|count| rest.get(..count)) {
            Some(taken) => {
                self.position += taken.len();
                Ok(taken)
            }
            None => Err(WeightsError::Truncated {
                path: self.path.to_path_buf(),
                place: place.to_string(),
                needed: count,
                offset: self.position as u64,
                length: self.bytes.len() as u64,
            }),
        }
    }

    /// `count` items of `size` bytes each, checked before anything is allocated for them.
    pub(super) fn take_items(
        &mut self,
        count: u64,
        size: u64,
        place: &dyn Display,
    ) -> Result<&'a [u8], WeightsError> {
        self.take(count.saturating_mul(size), place)
    }

    /// Refuses a count of items that cannot be there, since each takes at least `least` bytes: so that room
    /// for `count` of them may be reserved.
    pub(super) fn expect_items(
        &self,
        count: u64,
        least: u64,
        place: &dyn Display,
    ) -> Result<usize, WeightsError> {
        let mut ahead = Cursor { path: self.path, bytes: self.bytes, position: self.position };
        ahead.take_items(count, least, place)?;
        Ok(count as usize)
    }

    pub(super) fn array<const N: usize>(&mut self, place: &dyn Display) -> Result<[u8; N], WeightsError> {
        let taken = self.take(N as u64, place)?;
        Ok(*taken.first_chunk().expect("as many bytes as were taken"))
    }

    pub(super) fn u32(&mut self, place: &dyn Display) -> Result<u32, WeightsError> {
        self.array(place).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, place: &dyn Display) -> Result<u64, WeightsError> {
        self.array(place).map(u64::from_le_bytes)
    }

    /// A string's bytes: a length, then as many bytes.
    pub(super) fn string(&mut self, place: &dyn Display) -> Result<&'a [u8], WeightsError> {
        let length = self.u64(place)?;
        self.take(length, place)
    }

    /// A string that must be UTF-8: a name.
    pub(super) fn name(&mut self, place: &dyn Display) -> Result<String, WeightsError> {
        let bytes = self.string(place)?;
        let text = std::str::from_utf8(bytes).map_err(|_| {
            self.malformed(place, format_args!("the name {:?}", String::from_utf8_lossy(bytes)), "UTF-8")
        })?;
        Ok(text.to_string())
    }

    pub(super) fn malformed(
        &self,
        place: &dyn Display,
        found: impl Display,
        expected: impl Display,
    ) -> WeightsError {
        WeightsError::malformed(self.path, place, found, expected)
    }
}
