//! The line editor of the chat: history, several lines, completion of commands.

use std::fs;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

use super::command;
use super::multiline;
use crate::failure::Failure;
use crate::sampling_options;
use crate::terminal;

/// Entries kept in the history file.
const HISTORY_ENTRIES: usize = 1000;

/// What the user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Typed something, of one line or several.
    Text(String),
    /// Pressed Ctrl-C.
    Cancelled,
    /// Pressed Ctrl-D.
    End,
}

/// Reads what the user types.
pub struct LineEditor {
    editor: Editor<ChatHelper, DefaultHistory>,
    history: Option<PathBuf>,
}

impl LineEditor {
    /// An editor with the history of earlier chats.
    pub fn new() -> Result<Self, Failure> {
        let no_terminal = |error: ReadlineError| Failure::new(format!("cannot use the terminal: {error}"));
        let config = Config::builder()
            .max_history_size(HISTORY_ENTRIES)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(no_terminal)?
            .auto_add_history(true)
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config).map_err(no_terminal)?;
        editor.set_helper(Some(ChatHelper));
        let history = history_file();
        if let Some(path) = history.as_ref().filter(|path| path.exists()) {
            // A damaged history is not worth failing for.
            if let Err(error) = editor.load_history(path) {
                terminal::note(&format!("the history in {} cannot be read: {error}", path.display()));
            }
        }
        Ok(Self { editor, history })
    }

    /// Waits for what the user types.
    pub fn read(&mut self) -> Result<Line, Failure> {
        match self.editor.readline("> ") {
            Ok(text) => {
                self.keep_history();
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Cancelled),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(Failure::new(format!("cannot read from the terminal: {error}"))),
        }
    }

    /// Writes the history at once: a chat may end with the terminal's window.
    fn keep_history(&mut self) {
        let Some(path) = &self.history else { return };
        let kept = path.parent().map_or(Ok(()), fs::create_dir_all).is_ok()
            && self.editor.append_history(path).is_ok();
        if !kept {
            terminal::note(&format!("the history cannot be written to {}", path.display()));
            self.history = None;
        }
    }
}

/// Where the history is kept: in the user's state folder, as the system has it.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = std::env::home_dir();
    let folder = match state {
        Some(folder) => folder,
        None if cfg!(target_os = "macos") => home?.join("Library/Application Support"),
        None => home?.join(".local/state"),
    };
    Some(folder.join("wootz/history"))
}

/// Knows when a text goes on, and how commands are called.
struct ChatHelper;

impl Helper for ChatHelper {}

impl Highlighter for ChatHelper {}

impl Hinter for ChatHelper {
    type Hint = String;
}

impl Validator for ChatHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if multiline::is_open(context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for ChatHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(completions(&line[..position]))
    }
}

/// Where the word begins that is being typed, and what it may become.
fn completions(typed: &str) -> (usize, Vec<String>) {
    let matching = |names: &[&str], start: &str| {
        names.iter().filter(|name| name.starts_with(start)).map(|name| format!("{name} ")).collect()
    };
    if let Some(start) = typed.strip_prefix("/set ") {
        let names: Vec<&str> =
            sampling_options::NAMES.into_iter().chain(sampling_options::CHAT_NAMES).collect();
        (5, if start.contains(' ') { Vec::new() } else { matching(&names, start) })
    } else if typed.starts_with('/') && !typed.contains(' ') {
        (0, matching(&command::NAMES, typed))
    } else {
        (typed.len(), Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_settings_are_completed() {
        assert_eq!(completions("/s"), (0, vec!["/set ".into(), "/system ".into(), "/save ".into()]));
        assert_eq!(completions("/set typ"), (5, vec!["typical-p ".into()]));
        assert_eq!(completions("/set top-k 4").1, Vec::<String>::new());
        assert_eq!(completions("hello").1, Vec::<String>::new());
    }
}
