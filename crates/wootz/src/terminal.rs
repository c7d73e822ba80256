//! What goes to standard error, and whether in colour.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// Whether text on standard error may be coloured: a terminal, and no `NO_COLOR` (no-color.org).
fn coloured() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line to standard error; a closed one is no reason to fail.
fn line(style: &str, label: &str, text: &str) {
    let (begin, end) = if coloured() { (style, "\x1b[0m") } else { ("", "") };
    let text =
        if label.is_empty() { format!("{begin}{text}{end}") } else { format!("{begin}{label}{end} {text}") };
    let _ = writeln!(stderr(), "{text}");
}

/// What went wrong.
pub fn error(text: &str) {
    line("\x1b[1;31m", "error:", text);
}

/// What the user may do, or should know.
pub fn note(text: &str) {
    line("\x1b[1;36m", "note:", text);
}

/// Something by the way: figures after an answer.
pub fn aside(text: &str) {
    line("\x1b[2m", "", text);
}

/// A plain line.
pub fn say(text: &str) {
    line("", "", text);
}

/// A progress bar on standard error, shown only if that is a terminal. `template` is indicatif's; a length of 0 is set later.
pub fn progress_bar(template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The template where work is counted and each piece has a name.
pub const COUNTED: &str = "{bar:30} {pos}/{len} {msg}";
