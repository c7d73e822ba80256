//! The `wootz` command line.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod bench;
mod chat;
mod commands;
mod conversation;
mod device;
mod failure;
mod form;
mod gpu;
mod grammar_options;
mod interrupt;
mod loading;
mod model_path;
mod sampling_options;
mod size;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    // Usage errors leave here, with code 2.
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(run) => commands::run::run(run),
        Command::Serve(serve) => commands::serve::run(serve),
        Command::Bench(bench) => commands::bench::run(&bench),
        Command::Info(info) => commands::info::run(&info),
        Command::Doctor(doctor) => commands::doctor::run(&doctor),
        Command::Tune(tune) => commands::tune::run(&tune),
        Command::Tokenize(tokenize) => commands::tokenize::run(&tokenize),
        Command::Perplexity(perplexity) => commands::perplexity::run(&perplexity),
        Command::Completions(completions) => commands::completions::run(&completions),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
