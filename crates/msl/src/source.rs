//! A Metal text and what it includes, all in memory: kernels are embedded in the program that runs them.

use std::path::{Component, Path};

use crate::MslError;

/// One Metal source file with the headers that it may include.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The file's name, such as `rms_norm.metal`. Errors and debug information use it.
    pub name: String,
    /// The file's text.
    pub text: String,
    /// Headers by the name that `#include "…"` uses, such as `common/tile.h`.
    pub headers: Vec<Header>,
    /// Preprocessor macros defined before the first line: name and value.
    pub defines: Vec<(String, String)>,
}

/// A header that a [`Source`] may include.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The path that `#include "…"` names, with `/` between its parts.
    pub name: String,
    /// The header's text.
    pub text: String,
}

impl Source {
    /// A source without headers.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), ..Self::default() }
    }

    /// The same source with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), text: text.into() });
        self
    }

    /// The same source with one more macro.
    #[must_use]
    pub fn with_define(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.defines.push((name.into(), value.into()));
        self
    }

    /// Writes the source and its headers below `folder`.
    ///
    /// # Errors
    ///
    /// If a name leads out of the folder, or a file can't be written.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<(), MslError> {
        let headers = self.headers.iter().map(|header| (&header.name, &header.text));
        for (name, text) in headers.chain([(&self.name, &self.text)]) {
            check_name(name)?;
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(MslError::io("cannot create", parent))?;
            }
            std::fs::write(&path, text).map_err(MslError::io("cannot write", &path))?;
        }
        Ok(())
    }
}

/// Names become paths below a private folder and words of a command line: nothing may escape from either.
fn check_name(name: &str) -> Result<(), MslError> {
    let refuse = |reason| Err(MslError::BadName { name: name.to_owned(), reason });
    let parts = Path::new(name).components();
    if name.is_empty() || parts.clone().next().is_none() {
        return refuse("it is empty");
    }
    if !parts.clone().all(|part| matches!(part, Component::Normal(_))) {
        return refuse("it must be a relative path without `.` and `..`");
    }
    if name.starts_with('-') || name.chars().any(|letter| letter.is_control() || "\"\\".contains(letter)) {
        return refuse("it holds a character that a compiler would misread");
    }
    Ok(())
}
