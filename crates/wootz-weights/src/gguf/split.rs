//! Opening a GGUF file, or all files of a model that was split: `name-00001-of-00003.gguf` and its siblings.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::Header;
use super::metadata::Metadata;
use crate::error::WeightsError;
use crate::mapped::MappedFile;
use crate::tensor::Tensor;

/// More files than any model has; guards the loop over them.
const FILE_LIMIT: u64 = 9999;

/// A GGUF model, from one file or several.
#[derive(Debug, Clone)]
pub struct OpenedGguf {
    /// The metadata; of a split model, the first file's.
    pub metadata: Metadata,
    /// The tensors of all files.
    pub tensors: Vec<Tensor>,
}

/// Opens the model that the file at `path` is, or is one part of.
///
/// # Errors
/// When a file is damaged or missing, or when the parts do not belong together.
pub fn open(path: &Path) -> Result<OpenedGguf, WeightsError> {
    let file = MappedFile::open(path)?;
    let header = Header::parse(path, file.bytes())?;
    let count = header.metadata.optional_u64("split.count")?.unwrap_or(1);
    if count <= 1 {
        let tensors = tensors_of(&file, &header);
        return Ok(OpenedGguf { metadata: header.metadata, tensors });
    }
    if count > FILE_LIMIT {
        let expected = format!("at most {FILE_LIMIT}");
        return Err(header.metadata.wrong("split.count", count, expected));
    }
    open_parts(path, count)
}

fn open_parts(path: &Path, count: u64) -> Result<OpenedGguf, WeightsError> {
    let mut first: Option<Metadata> = None;
    let mut tensors: Vec<Tensor> = Vec::new();
    let mut names = HashSet::new();
    for number in 0..count {
        let part = part_path(path, number, count)?;
        let file = MappedFile::open(&part)?;
        let header = Header::parse(&part, file.bytes())?;
        for (key, right) in [("split.no", number), ("split.count", count)] {
            let found = header.metadata.get_u64(key)?;
            if found != right {
                return Err(header.metadata.wrong(key, found, right));
            }
        }
        for tensor in tensors_of(&file, &header) {
            if !names.insert(tensor.name.clone()) {
                let place = format_args!("tensor {}", tensor.name);
                return Err(WeightsError::malformed(
                    &part,
                    place,
                    "it in an earlier part too",
                    "each tensor once",
                ));
            }
            tensors.push(tensor);
        }
        first.get_or_insert(header.metadata);
    }
    let metadata = first.expect("a split model has parts");
    let expected = metadata.get_u64("split.tensors.count")?;
    if expected != tensors.len() as u64 {
        let found = format!("{} tensors in {count} parts", tensors.len());
        return Err(metadata.wrong("split.tensors.count", found, expected));
    }
    Ok(OpenedGguf { metadata, tensors })
}

fn tensors_of(file: &Arc<MappedFile>, header: &Header) -> Vec<Tensor> {
    let tensor = |entry: &super::TensorEntry| Tensor {
        name: entry.name.clone(),
        kind: entry.kind,
        shape: entry.shape.clone(),
        file: Arc::clone(file),
        bytes: entry.bytes.clone(),
    };
    header.tensors.iter().map(tensor).collect()
}

/// The path of part `number` (from 0) of the model that `path` is another part of.
fn part_path(path: &Path, number: u64, count: u64) -> Result<PathBuf, WeightsError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let suffix = format!("-of-{count:05}.gguf");
    let prefix = name.strip_suffix(&suffix).and_then(|rest| {
        let (prefix, digits) = rest.split_at_checked(rest.len().checked_sub("-00001".len())?)?;
        let digits = digits.strip_prefix('-')?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(prefix)
    });
    match prefix {
        Some(prefix) => Ok(path.with_file_name(format!("{prefix}-{:05}{suffix}", number + 1))),
        None => Err(WeightsError::malformed(
            path,
            "file name",
            format_args!("{name:?} for one of {count} parts"),
            format_args!("a name that ends in -00001{suffix}, by which the other parts can be found"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_siblings() {
        let path = |name: &str| part_path(Path::new(name), 2, 3);
        assert_eq!(path("dir/m-00001-of-00003.gguf").unwrap(), Path::new("dir/m-00003-of-00003.gguf"));
        for wrong in [
            "m.gguf",
            "m-00001-of-00004.gguf",
            "m-0000x-of-00003.gguf",
            "-of-00003.gguf",
            "é0001-of-00003.gguf",
        ] {
            assert!(path(wrong).unwrap_err().to_string().contains("-00001-of-00003.gguf"), "{wrong}");
        }
    }
}
