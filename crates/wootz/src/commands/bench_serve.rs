//! `wootz bench serve`.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use wootz_load::http::{Endpoint, Length, RequestOptions, Server};
use wootz_load::report::Report;
use wootz_load::server::Target;
use wootz_load::session::{self, Happening, SessionSettings};
use wootz_load::slo::{self, Objective};
use wootz_load::words::CountTokens;
use wootz_weights::Checkpoint;
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer};

use crate::bench::serve::{loads, text};
use crate::failure::Failure;
use crate::terminal;

/// Arguments of `wootz bench serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz bench serve --streams 1,4,8,16                  requests in so many streams at a time
  wootz bench serve --rate 2 --requests 100             two a second on average, whatever the server does
  wootz bench serve --trace azure.csv --trace-tokens 0.1 --longest-prompt 256
  wootz bench serve --streams 1 --shared-prefix 1:1000  what a cached prefix saves
  wootz bench serve --streams 4 --beside 8000           what a long prompt costs the others
  wootz bench serve --url wootz=http://127.0.0.1:8080 --url other=http://127.0.0.1:8081
                                                        servers in turns, and their ratios
  wootz bench serve --slo ttft=500ms,itl=50ms --json | jq .loads
  wootz bench serve --html load.html                    plots, on one page that needs nothing else

Any server with OpenAI's API will do. Latency counts from when a request was due, so waiting that a slow server causes
is not left out. Tokens are those that the server counts. With several servers each round asks one after the other, with
the same texts, and the first is compared with each of the others.")]
pub struct BenchServeArguments {
    /// A server, maybe with a name; may be given several times
    #[arg(long, value_name = "[NAME=]URL", default_value = "http://127.0.0.1:8080")]
    url: Vec<String>,
    /// How requests arrive, and what they ask
    #[command(flatten)]
    load: loads::LoadArguments,
    /// What is asked: completions takes the prompt as it is, chat as a user's message
    #[arg(long, value_enum, default_value = "completions")]
    endpoint: EndpointName,
    /// Let the model end its answers (servers that can are told to go on to the last token otherwise)
    #[arg(long)]
    free_length: bool,
    /// The sampling temperature
    #[arg(long, value_name = "T", default_value = "0")]
    temperature: f64,
    /// The model's name [default: the first that the server lists]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,
    /// A key that is sent with every request
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// More fields for every request, as a JSON object
    #[arg(long, value_name = "JSON")]
    extra: Option<String>,
    /// The longest that a request may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = slo::seconds)]
    timeout: f64,
    /// Count the tokens of made prompts with this model's tokenizer [default: as the first server counts them]
    #[arg(long, value_name = "MODEL")]
    tokenizer: Option<PathBuf>,
    /// Requests to each server before anything is measured
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    warm_up: u32,
    /// How often each load is run on each server
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// What a request must keep to be served well: ttft, itl, tpot, e2e
    #[arg(long, value_name = "ttft=500ms,…")]
    slo: Option<Objective>,
    /// Write JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Also write a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EndpointName {
    Completions,
    Chat,
}

/// Measures, and prints.
pub fn run(arguments: &BenchServeArguments) -> Result<(), Failure> {
    let targets: Vec<Target> =
        arguments.url.iter().map(|url| url.parse()).collect::<Result<_, _>>().map_err(usage)?;
    if let Some(name) = repeated_name(&targets) {
        return Err(Failure::Usage(format!(
            "two servers are called {name}: NAME=URL gives each its own name"
        )));
    }
    let loads = arguments.load.loads().map_err(usage)?;
    let options = request_options(arguments)?;
    let count_tokens = arguments.tokenizer.as_ref().map(token_counter).transpose()?;
    let settings = SessionSettings {
        rounds: arguments.rounds as usize,
        warm_up: arguments.warm_up as usize,
        objective: arguments.slo,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let report = runtime.block_on(async {
        let mut servers = Vec::new();
        for target in targets {
            servers.push(Server::connect(target, options.clone()).await?);
        }
        let (stopper, stop) = tokio::sync::watch::channel(false);
        let interrupted = async {
            if tokio::signal::ctrl_c().await.is_ok() {
                terminal::note("ending with what was measured; Ctrl-C again quits");
                stopper.send_replace(true);
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            }
            std::future::pending::<()>().await;
        };
        let bar = Bar::default();
        let watcher = |happening: Happening| bar.show(happening);
        tokio::select! {
            report = session::measure(&servers, &loads, settings, count_tokens, &stop, &watcher) => report,
            () = interrupted => unreachable!("it ends never, or with the process"),
        }
    });
    finish(arguments, &report.map_err(failed)?)
}

fn finish(arguments: &BenchServeArguments, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &arguments.html {
        let page = wootz_load::html::page(report);
        std::fs::write(path, page).map_err(|error| Failure::file("write", path, &error))?;
    }
    let mut out = std::io::stdout().lock();
    match arguments.json {
        true => {
            let json = serde_json::to_string_pretty(report);
            let json = json.map_err(|error| Failure::new(format!("cannot write the report: {error}")))?;
            writeln!(out, "{json}")?;
        }
        false => write!(out, "{}", text::report(report))?,
    }
    let answered = report.loads.iter().flat_map(|load| &load.servers).any(|server| {
        let long = server.together.beside.and_then(|beside| beside.time_to_first_token);
        server.together.answered > 0 || long.is_some()
    });
    match answered {
        true => Ok(()),
        false => Err(Failure::new("no request was answered to its end")),
    }
}

fn repeated_name(targets: &[Target]) -> Option<&str> {
    let mut names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn request_options(arguments: &BenchServeArguments) -> Result<RequestOptions, Failure> {
    let extra = arguments.extra.as_deref().map(serde_json::from_str).transpose();
    let extra = extra.map_err(|error| Failure::Usage(format!("--extra is no JSON object: {error}")))?;
    Ok(RequestOptions {
        endpoint: match arguments.endpoint {
            EndpointName::Completions => Endpoint::Completions,
            EndpointName::Chat => Endpoint::Chat,
        },
        length: if arguments.free_length { Length::Free } else { Length::Fixed },
        temperature: arguments.temperature,
        seed: arguments.load.seed(),
        model: arguments.model_name.clone(),
        api_key: arguments.api_key.clone(),
        timeout: Duration::from_secs_f64(arguments.timeout),
        extra: extra.unwrap_or_default(),
    })
}

/// Counts tokens as a model would, without special ones.
fn token_counter(path: &PathBuf) -> Result<CountTokens, Failure> {
    let tokenizer = Tokenizer::from_checkpoint(&Checkpoint::open(path)?)?;
    Ok(Box::new(move |text| {
        // Made texts are plain words: no tokenizer refuses them.
        tokenizer.encode(text, Special::Plain, AddBos::Never).map_or(0, |tokens| tokens.len())
    }))
}

fn usage(error: wootz_load::LoadError) -> Failure {
    use wootz_load::LoadError;
    match error {
        LoadError::Address { .. } | LoadError::Https(_) | LoadError::Setting(_) => {
            Failure::Usage(error.to_string())
        }
        _ => failed(error),
    }
}

fn failed(error: wootz_load::LoadError) -> Failure {
    use wootz_load::LoadError;
    match &error {
        LoadError::Unreachable { .. } => {
            Failure::with_next(error.to_string(), "start the server first, or name another with --url")
        }
        _ => Failure::new(error.to_string()),
    }
}

/// How far it is.
#[derive(Debug, Default)]
struct Bar(RefCell<Option<indicatif::ProgressBar>>);

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.get_mut() {
            bar.finish_and_clear();
        }
    }
}

impl Bar {
    fn show(&self, happening: Happening) {
        let mut bar = self.0.borrow_mut();
        match happening {
            Happening::WarmsUp { server } => {
                let new = terminal::progress_bar("{msg}", 0);
                new.set_message(format!("{server}: first requests"));
                *bar = Some(new);
            }
            Happening::Begins { load, server, round, requests } => {
                if let Some(old) = bar.take() {
                    old.finish_and_clear();
                }
                let new = terminal::progress_bar("{prefix} {bar:30} {pos}/{len} {msg}", requests as u64);
                new.set_prefix(format!("{load}, {server}, round {round}:"));
                *bar = Some(new);
            }
            Happening::Goes(progress) => {
                if let Some(bar) = &*bar {
                    bar.set_position(progress.ended as u64);
                    bar.set_message(format!("{} running, {} pieces", progress.running, progress.pieces));
                }
            }
        }
    }
}
