//! `wootz completions`.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Arguments of `wootz completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz completions bash > ~/.local/share/bash-completion/completions/wootz
  wootz completions zsh > \"${fpath[1]}/_wootz\"
  wootz completions fish > ~/.config/fish/completions/wootz.fish")]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut Arguments::command(), "wootz", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
