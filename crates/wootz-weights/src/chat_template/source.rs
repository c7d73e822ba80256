//! Where a checkpoint keeps its chat templates.

use std::path::Path;

use serde_json::Value as Json;

use super::{ChatTemplate, DEFAULT, TemplateError, TemplateOrigin};
use crate::checkpoint::Checkpoint;
use crate::error::WeightsError;
use crate::gguf::Metadata;

const GGUF_KEY: &str = "tokenizer.chat_template";

/// Names and sources.
type Named = Vec<(String, String)>;

impl ChatTemplate {
    /// The chat template that a checkpoint brings, `None` if it brings none.
    ///
    /// In a Hugging Face folder: `chat_template.jinja` (and `additional_chat_templates/*.jinja`), else
    /// `chat_template.json`, else `chat_template` in `tokenizer_config.json`, a string or a list of named templates.
    /// In GGUF: `tokenizer.chat_template` and the variants that `tokenizer.chat_templates` names.
    ///
    /// # Errors
    /// A file that cannot be read, a value of the wrong type, a template that does not parse.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Option<ChatTemplate>, TemplateError> {
        match (checkpoint.gguf_metadata(), checkpoint.folder()) {
            (Some(metadata), _) => ChatTemplate::from_metadata(metadata),
            (None, Some(folder)) => ChatTemplate::from_folder(folder),
            (None, None) => Ok(None),
        }
    }

    /// The chat template in the metadata of a GGUF file.
    ///
    /// # Errors
    /// As [`Self::from_checkpoint`].
    pub fn from_metadata(metadata: &Metadata) -> Result<Option<ChatTemplate>, TemplateError> {
        some(read_metadata(metadata)?)
    }

    /// The chat template in a Hugging Face folder.
    ///
    /// # Errors
    /// As [`Self::from_checkpoint`].
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Option<ChatTemplate>, TemplateError> {
        some(read_folder(folder.as_ref())?)
    }

    /// The template that a checkpoint brings, else the one that stands in for it, and which of them it is.
    /// `knows` says whether the vocabulary has a token of exactly this text.
    ///
    /// # Errors
    /// As [`Self::from_checkpoint`].
    pub fn for_checkpoint(
        checkpoint: &Checkpoint,
        knows: impl Fn(&str) -> bool,
    ) -> Result<(ChatTemplate, TemplateOrigin), TemplateError> {
        if let Some(template) = ChatTemplate::from_checkpoint(checkpoint)? {
            return Ok((template, TemplateOrigin::Model));
        }
        match TemplateOrigin::without_template(knows) {
            TemplateOrigin::ChatMl => Ok((ChatTemplate::chatml()?, TemplateOrigin::ChatMl)),
            _ => Ok((ChatTemplate::transcript()?, TemplateOrigin::Transcript)),
        }
    }
}

fn some(templates: Named) -> Result<Option<ChatTemplate>, TemplateError> {
    if templates.is_empty() { Ok(None) } else { ChatTemplate::with_names(templates).map(Some) }
}

fn read_metadata(metadata: &Metadata) -> Result<Named, WeightsError> {
    let mut templates = Vec::new();
    if let Some(source) = metadata.optional_str(GGUF_KEY)? {
        templates.push((DEFAULT.to_owned(), source.to_owned()));
    }
    if let Some(names) = metadata.optional_strings("tokenizer.chat_templates")? {
        for name in names.iter().filter(|name| *name != DEFAULT) {
            let source = metadata.get_str(&format!("{GGUF_KEY}.{name}"))?;
            templates.push((name.to_owned(), source.to_owned()));
        }
    }
    Ok(templates)
}

fn read_folder(folder: &Path) -> Result<Named, WeightsError> {
    let mut templates = Vec::new();
    if let Some(source) = read_text(&folder.join("chat_template.jinja"))? {
        templates.push((DEFAULT.to_owned(), source));
        add_folder(&mut templates, &folder.join("additional_chat_templates"))?;
        return Ok(templates);
    }
    for file in ["chat_template.json", "tokenizer_config.json"] {
        let path = folder.join(file);
        let Some(text) = read_text(&path)? else { continue };
        let json: Json = serde_json::from_str(&text)
            .map_err(|error| WeightsError::malformed(&path, "the file", error, "JSON"))?;
        add_json(&mut templates, &json["chat_template"], &path)?;
        if !templates.is_empty() {
            break;
        }
    }
    Ok(templates)
}

/// Each `.jinja` file of a folder, named by its stem, in the order of names.
fn add_folder(templates: &mut Named, folder: &Path) -> Result<(), WeightsError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(WeightsError::io(folder, "read"))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jinja"));
    paths.sort();
    for path in paths {
        if let (Some(name), Some(source)) = (path.file_stem(), read_text(&path)?) {
            templates.push((name.to_string_lossy().into_owned(), source));
        }
    }
    Ok(())
}

fn add_json(templates: &mut Named, value: &Json, path: &Path) -> Result<(), WeightsError> {
    const EXPECTED: &str = "a template as a string, or a list of objects with name and template";
    match value {
        Json::Null => {}
        Json::String(source) => templates.push((DEFAULT.to_owned(), source.clone())),
        Json::Array(items) => {
            for item in items {
                match (item["name"].as_str(), item["template"].as_str()) {
                    (Some(name), Some(source)) => templates.push((name.to_owned(), source.to_owned())),
                    _ => {
                        return Err(WeightsError::malformed(path, "chat_template", "another list", EXPECTED));
                    }
                }
            }
        }
        _ => return Err(WeightsError::malformed(path, "chat_template", "another type", EXPECTED)),
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<Option<String>, WeightsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(WeightsError::io(path, "read")(error)),
    }
}
