//! Opening a folder: its configuration, and the tensors of its safetensors files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;

use super::header::Header;
use crate::error::WeightsError;
use crate::mapped::MappedFile;
use crate::tensor::Tensor;

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A Hugging Face checkpoint.
#[derive(Debug, Clone)]
pub struct OpenedFolder {
    /// `config.json`.
    pub config: Json,
    /// The tensors of all files.
    pub tensors: Vec<Tensor>,
    /// Tensors that are there in a dtype that Wootz cannot read, by name: an error only for who needs them.
    pub unsupported: HashMap<String, Unsupported>,
}

/// A tensor in a dtype that Wootz cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The file that holds it.
    pub path: PathBuf,
    /// What it is: mostly a dtype's name, `F8_E4M3`.
    pub dtype: String,
}

impl Unsupported {
    /// The error for one who needs the tensor, which is called `name`.
    pub fn error(&self, name: &str) -> WeightsError {
        WeightsError::UnsupportedType {
            path: self.path.clone(),
            tensor: name.to_string(),
            found: self.dtype.clone(),
            supported: "F32 F16 BF16 F64 I8 I16 I32 I64".to_string(),
        }
    }
}

/// The part of `model.safetensors.index.json` that matters.
#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

/// Opens the checkpoint in the folder at `path`.
///
/// # Errors
/// When files are missing or damaged, or when the index does not agree with the files.
pub fn open_folder(path: &Path) -> Result<OpenedFolder, WeightsError> {
    let config_path = path.join(CONFIG);
    let index_path = path.join(INDEX);
    if !config_path.is_file() {
        return Err(no_model(path, CONFIG));
    }
    let config = read_json(&config_path)?;
    let mut opened = OpenedFolder { config, tensors: Vec::new(), unsupported: HashMap::new() };
    if index_path.is_file() {
        let text = std::fs::read(&index_path).map_err(WeightsError::io(&index_path, "read"))?;
        let index = parse_index(&index_path, &text)?;
        for file in index.values().collect::<BTreeSet<_>>() {
            opened.add(&path.join(file), |name| index.get(name).is_some_and(|holder| holder == file))?;
        }
        opened.expect_all(&index_path, &index)?;
    } else if path.join(SINGLE).is_file() {
        opened.add(&path.join(SINGLE), |_| true)?;
    } else {
        return Err(no_model(path, &format!("{SINGLE} or {INDEX}")));
    }
    Ok(opened)
}

/// Reads `model.safetensors.index.json`: the file name of each tensor, all of them in the index's own folder.
///
/// # Errors
/// When it is not such an index, or when a file name leads out of the folder.
pub fn parse_index(path: &Path, text: &[u8]) -> Result<BTreeMap<String, String>, WeightsError> {
    let expected = "an object whose weight_map has a file name for each tensor";
    let index: Index = serde_json::from_slice(text).map_err(|error| {
        WeightsError::malformed(path, "index", format_args!("something else ({error})"), expected)
    })?;
    for (tensor, file) in &index.weight_map {
        let mut components = Path::new(file).components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        // A backslash separates folders on Windows only; no checkpoint has one in a file name anywhere.
        if !plain || file.contains(['\\', '\0']) || !file.ends_with(".safetensors") {
            let expected = "the name of a .safetensors file in the same folder";
            let place = format_args!("tensor {tensor}");
            return Err(WeightsError::malformed(
                path,
                place,
                format_args!("the file name {file:?}"),
                expected,
            ));
        }
    }
    Ok(index.weight_map)
}

impl OpenedFolder {
    /// Adds those tensors of the file at `path` that `wanted` chooses by name.
    fn add(&mut self, path: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), WeightsError> {
        let file = MappedFile::open(path)?;
        let header = Header::parse(path, file.bytes())?;
        for entry in header.tensors.into_iter().filter(|entry| wanted(&entry.name)) {
            match entry.kind {
                Ok(kind) => self.tensors.push(Tensor {
                    name: entry.name,
                    kind,
                    shape: entry.shape,
                    file: Arc::clone(&file),
                    bytes: entry.bytes,
                }),
                Err(dtype) => {
                    self.unsupported.insert(entry.name, Unsupported { path: path.to_path_buf(), dtype });
                }
            }
        }
        Ok(())
    }

    /// Refuses an index that promises tensors which its files do not have.
    fn expect_all(&self, path: &Path, index: &BTreeMap<String, String>) -> Result<(), WeightsError> {
        let present: BTreeSet<&str> = self.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let absent = |(name, _): &(&String, &String)| {
            !present.contains(name.as_str()) && !self.unsupported.contains_key(name.as_str())
        };
        match index.iter().find(absent) {
            Some((name, file)) => {
                let place = format_args!("tensor {name}");
                Err(WeightsError::malformed(
                    path,
                    place,
                    format_args!("it absent from {file}"),
                    "it in that file",
                ))
            }
            None => Ok(()),
        }
    }
}

fn read_json(path: &Path) -> Result<Json, WeightsError> {
    let text = std::fs::read(path).map_err(WeightsError::io(path, "read"))?;
    serde_json::from_slice(&text).map_err(|error| {
        WeightsError::malformed(path, "file", format_args!("invalid JSON ({error})"), "JSON")
    })
}

/// The folder lacks `missing`: says what it has that may have been meant.
fn no_model(path: &Path, missing: &str) -> WeightsError {
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    let with =
        |extension: &str| files.iter().find(|file| file.extension().is_some_and(|found| found == extension));
    let expected = match with("gguf") {
        Some(file) => format!("{missing} in it, or the file {}", file.display()),
        None => format!("{missing} in it, or a .gguf file instead of a folder"),
    };
    let found = match with("bin").or(with("pt")).or(with("pth")) {
        Some(file) => format!(
            "a folder without {missing} (weights in PyTorch's format, {}, cannot be read)",
            file.display()
        ),
        None => format!("a folder without {missing}"),
    };
    WeightsError::NotACheckpoint { path: path.to_path_buf(), found, expected }
}
