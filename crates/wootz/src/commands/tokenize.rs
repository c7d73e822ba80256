//! `wootz tokenize`.

use std::io::{Read, Write, stdin, stdout};
use std::path::PathBuf;

use clap::Args;
use wootz_weights::Checkpoint;
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer};

use crate::failure::Failure;
use crate::model_path;

/// Arguments of `wootz tokenize`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  printf 'Hello world' | wootz tokenize model.gguf           one line a token: its id and its text
  printf 'Hello world' | wootz tokenize model.gguf --ids     the ids on one line
  wootz tokenize model.gguf --ids --no-special < text.txt

The text is taken exactly as it comes: `echo` adds a line end, `printf` does not.")]
pub struct TokenizeArguments {
    /// A GGUF file or a Hugging Face folder [default: the model that comes with Wootz]
    model: Option<PathBuf>,
    /// Print the ids on one line
    #[arg(long)]
    ids: bool,
    /// Add no special token (like a beginning-of-text), and read the text of special tokens as plain text
    #[arg(long)]
    no_special: bool,
}

/// Prints the tokens of the text on standard input.
pub fn run(arguments: &TokenizeArguments) -> Result<(), Failure> {
    let path = model_path::find(arguments.model.as_deref())?;
    let tokenizer = Tokenizer::from_checkpoint(&Checkpoint::open(path)?)?;
    let mut bytes = Vec::new();
    let read = stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Failure::new(format!("standard input is not UTF-8 text: byte {place} is not part of a character"))
    })?;
    let ids = match arguments.no_special {
        true => tokenizer.encode(&text, Special::Plain, AddBos::Never)?,
        false => tokenizer.encode(&text, Special::Parse, AddBos::AsModel)?,
    };
    let mut out = stdout().lock();
    if arguments.ids {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        writeln!(out, "{}", ids.join(" "))?;
    } else {
        for id in &ids {
            let bytes = tokenizer.token_bytes(*id).unwrap_or_default();
            let text = String::from_utf8(bytes).map_or_else(
                |part| format!("{}", part.as_bytes().escape_ascii()),
                |text| format!("{text:?}"),
            );
            let special = if tokenizer.is_special(*id) { "  (special)" } else { "" };
            writeln!(out, "{id:>8}  {text}{special}")?;
        }
        writeln!(out, "{:>8}  tokens for {} bytes", ids.len(), text.len())?;
    }
    Ok(())
}
