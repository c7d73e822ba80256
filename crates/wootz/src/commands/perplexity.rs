//! `wootz perplexity`.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use wootz_engine::{Perplexity, PerplexityText, perplexity};
use wootz_weights::tokenizer::{AddBos, Special};

use crate::device::DeviceOptions;
use crate::failure::Failure;
use crate::loading::{CacheRoom, ContextOption, Loaded, MachineOptions, StepRoom, load};
use crate::model_path;
use crate::terminal;

/// Arguments of `wootz perplexity`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  wootz perplexity model.gguf text.txt --context 512

The text is cut into chunks of the context's length; the second half of each is scored, as llama-perplexity
does, so the figures can be compared. Lower is better; figures of models with other tokenizers can't be compared.")]
pub struct PerplexityArguments {
    /// A GGUF file or a Hugging Face folder
    model: PathBuf,
    /// The text, in UTF-8
    file: PathBuf,
    /// Score at most this many chunks
    #[arg(long, value_name = "N")]
    chunks: Option<NonZeroUsize>,
    /// Tokens in a chunk
    #[arg(long, short, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(4..))]
    context: u32,
    /// Threads that compute [default: one for each physical core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    device: DeviceOptions,
}

/// Rows whose logits are held at a time: half a chunk of the usual length.
const ROOM: StepRoom = StepRoom { rows: 512, samples: 256, cache: CacheRoom::OneContext };

/// Scores the text.
pub fn run(arguments: &PerplexityArguments) -> Result<(), Failure> {
    let path = model_path::find(Some(&arguments.model))?;
    let bytes =
        std::fs::read(&arguments.file).map_err(|error| Failure::file("read", &arguments.file, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Failure::new(format!(
            "{} is not UTF-8 text: byte {place} is not part of a character",
            arguments.file.display()
        ))
    })?;
    let context = ContextOption { context: Some(arguments.context) };
    let (threads, device) = (arguments.threads, arguments.device);
    let machine = MachineOptions { context, threads, device };
    let Loaded { mut model, tokenizer, .. } = load(&path, &machine, ROOM)?;
    let tokens = tokenizer.encode(&text, Special::Plain, AddBos::AsModel)?;
    let text = PerplexityText {
        tokens: &tokens,
        begin: tokenizer.surroundings().0.first().copied(),
        context: arguments.context as usize,
        chunks: arguments.chunks.map_or(usize::MAX, NonZeroUsize::get),
    };
    let bar = terminal::progress_bar("{bar:30} chunk {pos}/{len}, {msg}, {eta} to go", 0);
    let result = perplexity(model.as_mut(), text, |so_far: Perplexity| {
        bar.set_length(so_far.chunks as u64);
        bar.set_message(format!("perplexity {:.4}", so_far.value));
        bar.set_position(so_far.chunk as u64);
    });
    bar.finish_and_clear();
    let Perplexity { value, error, tokens, chunks, .. } = result?;
    let context = arguments.context;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "perplexity {value:.4} ± {error:.4} ({tokens} tokens of {chunks} chunks, context {context})"
    )?;
    Ok(())
}
