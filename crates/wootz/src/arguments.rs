//! The command line: every command, and what it accepts.

use clap::{Parser, Subcommand};

use crate::commands;

/// Serve language models from one binary.
#[derive(Debug, Parser)]
#[command(
    name = "wootz",
    version,
    about = "Runs language models: one binary, no Python.",
    after_help = "Examples:
  wootz run \"Tell me a story about a boat\"     with the model that comes with Wootz
  wootz run model.gguf                         a chat in the terminal
  wootz serve model.gguf                       the OpenAI API at http://127.0.0.1:8080/v1
  wootz bench model.gguf                       how fast, and how near to what the machine can do
  wootz help run                               everything about one command",
    disable_help_subcommand = false,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)]
pub enum Command {
    /// Answer a prompt, or chat
    Run(commands::run::RunArguments),
    /// Serve a model to programs, over the OpenAI API
    Serve(commands::serve::ServeArguments),
    /// Measure the speed of a model, beside the limits of this machine
    Bench(commands::bench::BenchArguments),
    /// Examine a GPU: every kernel on the device itself, beside the same formula in plain Rust
    Doctor(commands::doctor::DoctorArguments),
    /// Measure which kernels are fastest for a model on a GPU, and keep the winners
    Tune(commands::tune::TuneArguments),
    /// Show what a model is: architecture, tensors, memory
    Info(commands::info::InfoArguments),
    /// Turn text on standard input into tokens
    Tokenize(commands::tokenize::TokenizeArguments),
    /// Measure how well a model predicts a text
    Perplexity(commands::perplexity::PerplexityArguments),
    /// Print a completion script for a shell
    Completions(commands::completions::CompletionsArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
