//! Which model a command means.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The model that comes with Wootz, in a folder `models` above the current folder or the executable.
const DEFAULT_MODEL: &str = "models/tales-46m.Q4_K_M.gguf";

/// What the positional arguments of `run` say.
#[derive(Debug, PartialEq, Eq)]
pub struct ModelAndPrompt {
    /// `None`: the default model.
    pub model: Option<PathBuf>,
    /// `None`: from standard input, or a chat.
    pub prompt: Option<String>,
}

/// Tells `[MODEL] [PROMPT]` apart: two arguments are both; one alone is a model if it is or looks like one.
pub fn tell_apart(first: Option<String>, second: Option<String>) -> ModelAndPrompt {
    match (first, second) {
        (Some(model), Some(prompt)) => ModelAndPrompt { model: Some(model.into()), prompt: Some(prompt) },
        (Some(only), None) if is_model(Path::new(&only)) || looks_like_path(&only) => {
            ModelAndPrompt { model: Some(only.into()), prompt: None }
        }
        (prompt, _) => ModelAndPrompt { model: None, prompt },
    }
}

/// Whether there is a model: a folder with a configuration, or a file that begins as GGUF files do.
fn is_model(path: &Path) -> bool {
    if path.is_dir() {
        return path.join("config.json").is_file();
    }
    let mut start = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"GGUF"
}

/// Whether a text is meant as a path to a model, though nothing may be there.
fn looks_like_path(text: &str) -> bool {
    let extension = [".gguf", ".safetensors"].iter().any(|end| text.ends_with(end));
    let rooted = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    !text.contains('\n') && (extension || (rooted && !text.contains(char::is_whitespace)))
}

/// The path of the model that was named, or of the default model.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return match path.try_exists() {
            Ok(true) => Ok(path.to_path_buf()),
            Ok(false) => Err(Failure::with_next(
                format!("there is no model at {}", path.display()),
                "MODEL is a GGUF file or a Hugging Face folder with config.json; without one, the model that comes \
                 with Wootz is used",
            )),
            Err(error) => Err(Failure::file("look for", path, &error)),
        };
    }
    let executable = std::env::current_exe().ok();
    let current = std::env::current_dir().ok();
    let places = [current, executable];
    let ancestors = places.iter().flatten().flat_map(|place| place.ancestors());
    ancestors.map(|folder| folder.join(DEFAULT_MODEL)).find(|path| path.is_file()).ok_or_else(|| {
        Failure::with_next(
            format!("no model was named, and {DEFAULT_MODEL} is in no folder above this one or the program"),
            "name a GGUF file or a Hugging Face folder after the command, or run from the repository, which has a model",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_prompt_unless_it_is_or_looks_like_a_model() {
        let model = |text: &str| tell_apart(Some(text.into()), None).model.is_some();
        assert!(model("missing.gguf") && model("/no/such/folder") && model("./here") && model("a/b c.gguf"));
        assert!(
            !model("Tell me a story") && !model("boats") && !model("/ is a slash") && !model("Cargo.toml")
        );
        // A folder that exists and is no model is a word like any other.
        assert!(!model("src"));
        let both = tell_apart(Some("x".into()), Some("y".into()));
        assert_eq!(both, ModelAndPrompt { model: Some("x".into()), prompt: Some("y".into()) });
        assert_eq!(tell_apart(None, None), ModelAndPrompt { model: None, prompt: None });
    }

    #[test]
    fn the_shipped_model_is_found_and_a_missing_one_named() {
        assert!(find(None).unwrap().ends_with(DEFAULT_MODEL));
        let error = find(Some(Path::new("no/such.gguf"))).unwrap_err().to_string();
        assert!(error.contains("no/such.gguf"), "{error}");
    }
}
