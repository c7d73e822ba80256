//! `wootz serve`: a model for programs, over the OpenAI API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use wootz_engine::{Engine, EngineSettings, Policy};
use wootz_serve::chat::ChatModel;
use wootz_serve::{Closing, ServeSettings, ServedModel, Server, ServerHandle};

use super::disk_options::DiskOptions;
use super::listening_options::ListeningOptions;
use crate::failure::Failure;
use crate::loading::{CacheRoom, Loaded, MachineOptions, StepRoom, load, spec};
use crate::model_path;
use crate::size;
use crate::table::{bytes, count};
use crate::terminal;

/// Rows of a step: answers under way, and chunks of prompts.
const ROWS: usize = 512;

/// Threads that handle connections; computing has its own.
const CONNECTION_THREADS: usize = 2;

/// Arguments of `wootz serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wootz serve                               the model that comes with Wootz, at http://127.0.0.1:8080/v1
  wootz serve model.gguf --port 11434       at another port
  wootz serve model.gguf --host 0.0.0.0 --api-key-file keys.txt
                                            for other machines too, with a key
  wootz serve model.gguf --parallel 64 --kv-memory 8G

Any client of the OpenAI API can use it: chat completions, completions, models. /health says whether
it is ready, /metrics is for Prometheus. Ctrl-C lets the answers under way end; a second one does not.")]
pub struct ServeArguments {
    /// A GGUF file or a Hugging Face folder [default: the model that comes with Wootz]
    model: Option<PathBuf>,
    /// The model's name in requests [default: that of the file or folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    listening: ListeningOptions,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    disk: DiskOptions,
    #[command(flatten)]
    machine: MachineOptions,
}

/// How requests share the model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sharing")]
struct EngineOptions {
    /// Answers that are worked on together
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    parallel: u16,
    /// Memory for keys and values of all answers and of prefixes to be reused; at least one context. It is used as it
    /// is needed
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = size::parse)]
    kv_memory: u64,
    /// Requests that may wait; one more is refused with status 429
    #[arg(long, value_name = "N", default_value_t = 512)]
    queue: u32,
    /// Who of the waiting ones is next; priority comes first under each
    #[arg(long, value_enum, default_value = "fcfs")]
    policy: PolicyName,
    /// Milliseconds between two tokens of an answer that 95 of 100 should stay below while prompts are computed
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    target_latency: u64,
}

/// Who of the waiting requests is next.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PolicyName {
    /// Who came first
    Fcfs,
    /// Whose deadline is nearest (`deadline_ms` of the request)
    Deadline,
    /// Whose API key has used least so far
    FairShare,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Fcfs => Policy::Fcfs,
            PolicyName::Deadline => Policy::Deadline,
            PolicyName::FairShare => Policy::FairShare,
        }
    }
}

/// Runs the command.
pub fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let path = model_path::find(arguments.model.as_deref())?;
    let settings = arguments.listening.settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONNECTION_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the threads for connections: {error}")))?;
    let result = runtime.block_on(serve(arguments, path, settings));
    // A load that was interrupted need not be waited for.
    runtime.shutdown_background();
    result
}

/// Listens, loads, and answers until it is told to end.
async fn serve(arguments: ServeArguments, path: PathBuf, settings: ServeSettings) -> Result<(), Failure> {
    let open = settings.keys.is_empty();
    let server = Server::bind(settings).await?;
    let (address, handle) = (server.address(), server.handle());
    let signals = wootz_serve::obey(handle.clone(), farewell)?;
    let mut running = tokio::spawn(server.run());
    let loading = tokio::task::spawn_blocking(move || load_model(&arguments, &path));
    tokio::select! {
        loaded = loading => {
            let loaded = loaded.map_err(|_| Failure::new("loading the model failed unexpectedly"))?;
            let (model, figures) = loaded?;
            greet(&model.name, &figures, address, open);
            take_into_service(handle, model);
            let ended = running.await;
            let cut_off = ended.map_err(|_| Failure::new("the server failed unexpectedly"))?;
            if cut_off > 0 {
                terminal::say(&format!("connections that were cut off: {cut_off}"));
            }
        }
        _ = &mut running => {}
    }
    signals.abort();
    Ok(())
}

/// The handle goes with it: when the server ends, nothing keeps the engine.
fn take_into_service(handle: ServerHandle, model: ServedModel) {
    handle.install(model);
}

/// What is said of a loaded model.
struct Figures {
    context: usize,
    pages: usize,
    page_bytes: usize,
    parallel: usize,
}

fn load_model(arguments: &ServeArguments, path: &Path) -> Result<(ServedModel, Figures), Failure> {
    let parallel = usize::from(arguments.engine.parallel);
    let room = StepRoom {
        rows: ROWS.max(parallel),
        samples: parallel,
        cache: CacheRoom::Bytes(arguments.engine.kv_memory),
    };
    let Loaded { checkpoint, model, tokenizer, device_kind } = load(path, &arguments.machine, room)?;
    let context = arguments.machine.context.tokens(&spec(&checkpoint)?)?;
    let limits = model.limits();
    let figures = Figures { context, pages: limits.pages, page_bytes: model.cache().page_bytes(), parallel };
    let chat = ChatModel::from_checkpoint(&checkpoint, &tokenizer, limits.vocab)?;
    let disk = arguments.disk.settings(&checkpoint, &device_kind)?;
    let engine = Engine::start(model, EngineSettings { disk, ..arguments.engine.settings() })?;
    let served = ServedModel {
        name: arguments.name.clone().unwrap_or_else(|| name_of(path)),
        engine,
        tokenizer: Arc::new(tokenizer),
        chat,
        context,
        vocab: limits.vocab,
        sequences: parallel,
        created: wootz_serve::now(),
    };
    Ok((served, figures))
}

/// The name of a file without its ending, or of a folder.
fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    name.map_or_else(|| "model".to_owned(), |name| name.display().to_string())
}

impl EngineOptions {
    fn settings(&self) -> EngineSettings {
        EngineSettings {
            sequences: self.parallel.into(),
            queue: self.queue as usize,
            policy: self.policy.into(),
            target: Duration::from_millis(self.target_latency),
            ..EngineSettings::default()
        }
    }
}

/// What the server is, where, and how to ask it.
fn greet(name: &str, figures: &Figures, address: SocketAddr, open: bool) {
    let Figures { context, pages, page_bytes, parallel } = figures;
    let cache = (*pages as u64).saturating_mul(*page_bytes as u64);
    terminal::say(&format!(
        "{name} · context {context} tokens · up to {parallel} answers together · room for {} tokens in {}",
        count(*pages as u64 * wootz_backend::step::PAGE_TOKENS as u64),
        bytes(cache),
    ));
    // A server at all addresses is reached at this one too.
    let shown = match address.ip() {
        ip if ip.is_unspecified() => SocketAddr::new([127, 0, 0, 1].into(), address.port()),
        _ => address,
    };
    terminal::say(&format!("listening at http://{address}\n"));
    let key = if open { "none" } else { "KEY" };
    let header = if open { "" } else { " -H \"Authorization: Bearer KEY\"" };
    terminal::say(&format!(
        "  curl http://{shown}/v1/chat/completions -H \"Content-Type: application/json\"{header} \\
    -d '{{\"messages\": [{{\"role\": \"user\", \"content\": \"Tell me a story\"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url=\"http://{shown}/v1\", api_key=\"{key}\")
  answer = client.chat.completions.create(
      model=\"{name}\", messages=[{{\"role\": \"user\", \"content\": \"Tell me a story\"}}])
  print(answer.choices[0].message.content)\n"
    ));
    if open && !address.ip().is_loopback() {
        terminal::note("whoever reaches this address can use the model: --api-key KEY asks for a key");
    }
}

/// Says that the end is near.
fn farewell(closing: Closing) {
    match closing {
        Closing::Draining => {
            terminal::say(
                "ending when the answers under way have ended, or with --drain-timeout; once more stops at once",
            );
        }
        Closing::Stopped => terminal::say("stopped"),
        Closing::Open => {}
    }
}
