//! A checkpoint: a GGUF file or a Hugging Face folder, opened, checked and mapped.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::error::WeightsError;
use crate::gguf::{self, Metadata};
use crate::safetensors;
use crate::tensor::Tensor;

/// What the checkpoint is made of, which decides how its tensors are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointFormat {
    /// One GGUF file, or the parts of one.
    Gguf,
    /// A folder with `config.json` and safetensors files.
    HuggingFace,
}

/// What differs between the formats.
#[derive(Debug, Clone)]
enum Source {
    Gguf(Metadata),
    HuggingFace { config: Json, unsupported: HashMap<String, safetensors::Unsupported> },
}

/// An opened model: its tensors, mapped, and its configuration.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    source: Source,
    tensors: Vec<Tensor>,
    places: HashMap<String, usize>,
}

impl Checkpoint {
    /// Opens a `.gguf` file (any part of a split one) or a folder with `config.json` and safetensors.
    ///
    /// # Errors
    /// When there is no model, or when a file is damaged: named are the file, the tensor, and what would be
    /// right.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let facts = std::fs::metadata(path).map_err(WeightsError::io(path, "open"))?;
        if facts.is_dir() {
            let opened = safetensors::open_folder(path)?;
            let source = Source::HuggingFace { config: opened.config, unsupported: opened.unsupported };
            return Ok(Self::new(path, source, opened.tensors));
        }
        let mut start = Vec::new();
        let file = File::open(path).map_err(WeightsError::io(path, "open"))?;
        file.take(16).read_to_end(&mut start).map_err(WeightsError::io(path, "read"))?;
        if start.starts_with(&gguf::MAGIC) {
            let opened = gguf::open(path)?;
            return Ok(Self::new(path, Source::Gguf(opened.metadata), opened.tensors));
        }
        Err(not_a_model(path, &start))
    }

    fn new(path: &Path, source: Source, tensors: Vec<Tensor>) -> Self {
        let places = tensors.iter().enumerate().map(|(place, tensor)| (tensor.name.clone(), place)).collect();
        Self { path: path.to_path_buf(), source, tensors, places }
    }

    /// What it was opened by: the file or the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    pub fn format(&self) -> CheckpointFormat {
        match self.source {
            Source::Gguf(_) => CheckpointFormat::Gguf,
            Source::HuggingFace { .. } => CheckpointFormat::HuggingFace,
        }
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.places.get(name).map(|place| &self.tensors[*place])
    }

    /// The tensor called `name`, which the model cannot do without.
    ///
    /// # Errors
    /// When it is absent (similar names are shown) or stored in a type that is not supported.
    pub fn require(&self, name: &str) -> Result<&Tensor, WeightsError> {
        if let Some(tensor) = self.tensor(name) {
            return Ok(tensor);
        }
        if let Source::HuggingFace { config, unsupported } = &self.source {
            if let Some(found) = unsupported.get(name) {
                return Err(found.error(name));
            }
            if let Some(method) = quantization_method(config) {
                let (path, tensor) = (self.path.clone(), name.to_string());
                return Err(WeightsError::UnsupportedQuantization { path, tensor, method });
            }
        }
        Err(WeightsError::MissingTensor {
            path: self.path.clone(),
            tensor: name.to_string(),
            count: self.tensors.len(),
            similar: self.similar(name),
        })
    }

    /// All tensors, in the order of their files.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.tensors.iter()
    }

    /// The configuration in the vocabulary of `config.json`; a GGUF file's metadata is translated by
    /// [`gguf::config`], which documents the additional keys.
    ///
    /// # Errors
    /// When the metadata does not name an architecture, or has a value of the wrong type.
    pub fn config(&self) -> Result<Json, WeightsError> {
        match &self.source {
            Source::Gguf(metadata) => gguf::config(metadata, |name| self.tensor(name)),
            Source::HuggingFace { config, .. } => Ok(config.clone()),
        }
    }

    /// The metadata of a GGUF file.
    pub fn gguf_metadata(&self) -> Option<&Metadata> {
        match &self.source {
            Source::Gguf(metadata) => Some(metadata),
            Source::HuggingFace { .. } => None,
        }
    }

    /// The folder of a Hugging Face checkpoint, where its tokenizer files are.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Gguf(_) => None,
            Source::HuggingFace { .. } => Some(&self.path),
        }
    }

    /// Up to three names that end as `name` does: the usual mistake is another prefix.
    fn similar(&self, name: &str) -> String {
        let ending = name.rsplit('.').take(2).collect::<Vec<_>>();
        let alike = |tensor: &&Tensor| tensor.name.rsplit('.').take(2).eq(ending.iter().copied());
        let names: Vec<&str> =
            self.tensors.iter().filter(alike).take(3).map(|tensor| tensor.name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!(", for instance {}", names.join(", ")) }
    }
}

/// The method by which a folder's tensors are quantised, if its configuration names one.
fn quantization_method(config: &Json) -> Option<String> {
    if let Some(quantization) = config.get("quantization_config") {
        let method = quantization.get("quant_method").and_then(Json::as_str);
        return Some(method.unwrap_or("a method without a name").to_string());
    }
    config.get("quantization").map(|_| "MLX".to_string())
}

/// A file that is no GGUF: says what it seems to be and what to pass instead.
fn not_a_model(path: &Path, start: &[u8]) -> WeightsError {
    let (found, expected) = if path.extension().is_some_and(|extension| extension == "safetensors") {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (
            "a lone safetensors file".to_string(),
            format!("its folder ({}), with config.json in it", folder.display()),
        )
    } else {
        let expected = "a .gguf file, or a folder with config.json and model.safetensors".to_string();
        match start {
            [] => ("an empty file".to_string(), expected),
            [b'P', b'K', 3, 4, ..] => ("a zip archive (PyTorch weights?)".to_string(), expected),
            _ => (format!("a file that begins with {:?}", start.escape_ascii().to_string()), expected),
        }
    };
    WeightsError::NotACheckpoint { path: path.to_path_buf(), found, expected }
}
