//! `wootz serve`: a model for programs, over the OpenAI API.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use wootz_engine::{Engine, EngineSettings, Policy};
use wootz_serve::chat::ChatModel;
use wootz_serve::{ApiKeys, Closing, Hosts, Origins, ServeSettings, ServedModel, Server, ServerHandle};

use super::disk_options::DiskOptions;
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

/// Where the server listens, and to whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
struct ListeningOptions {
    /// Address to listen at; 0.0.0.0 and :: are all of this machine's
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen at; 0 takes a free one
    #[arg(long, short, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// A key that requests must carry (repeatable); under `--policy fair-share`, each key has an equal share. Other users
    /// of this machine can see it in the list of processes: --api-key-file hides it
    #[arg(long, value_name = "KEY")]
    api_key: Vec<String>,
    /// A file of keys, one a line; empty lines and lines that begin with # are left out
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,
    /// Let web pages of this origin ask (repeatable); * lets every page
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
    /// A name that this server answers to in the header Host, besides its own (repeatable); * lets every name. Without it,
    /// at a loopback address, only localhost and loopback addresses are answered, so that no web page gets in by a name of
    /// its own site
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
    /// The longest request body
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = size::parse)]
    body_limit: u64,
    /// Seconds that a request's head, and then its body, may take to arrive
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    read_timeout: u64,
    /// Seconds after which a client that takes nothing of what is sent to it loses its connection
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    write_timeout: u64,
    /// Seconds that answers under way may go on after the first SIGINT or SIGTERM; 0 lets them end
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    drain_timeout: u64,
    /// Connections at a time; more wait
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
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
                terminal::say(&format!("cut {cut_off} connections off"));
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
    let Loaded { checkpoint, model, tokenizer } = load(path, &arguments.machine, room)?;
    let context = arguments.machine.context.tokens(&spec(&checkpoint)?)?;
    let limits = model.limits();
    let figures = Figures { context, pages: limits.pages, page_bytes: model.cache().page_bytes(), parallel };
    let chat = ChatModel::from_checkpoint(&checkpoint, &tokenizer, limits.vocab)?;
    let disk = arguments.disk.settings(&checkpoint, &arguments.machine.device)?;
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

impl ListeningOptions {
    fn settings(&self) -> Result<ServeSettings, Failure> {
        let read = Duration::from_secs(self.read_timeout);
        Ok(ServeSettings {
            address: SocketAddr::new(self.host, self.port),
            keys: self.keys()?,
            origins: self.origins()?,
            hosts: self.hosts()?,
            body_bytes: usize::try_from(self.body_limit).unwrap_or(usize::MAX),
            body_time: read,
            head_time: read,
            write_time: Duration::from_secs(self.write_timeout),
            drain_time: (self.drain_timeout > 0).then(|| Duration::from_secs(self.drain_timeout)),
            connections: self.connections as usize,
            ..ServeSettings::default()
        })
    }

    fn keys(&self) -> Result<ApiKeys, Failure> {
        if self.api_key.iter().any(|key| key.trim().is_empty()) {
            return Err(Failure::Usage("--api-key is empty; without the option, no key is needed".into()));
        }
        let file = match &self.api_key_file {
            None => String::new(),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?
            }
        };
        let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = ApiKeys::new(lines.chain(self.api_key.iter().map(|key| key.trim())));
        match &self.api_key_file {
            // An empty file must not open the server to everybody.
            Some(path) if keys.is_empty() => {
                Err(Failure::new(format!("{} has no key: one a line is expected", path.display())))
            }
            _ => Ok(keys),
        }
    }

    fn hosts(&self) -> Result<Hosts, Failure> {
        if self.allowed_host.is_empty() {
            return Ok(Hosts::Own);
        }
        if self.allowed_host.iter().any(|name| name == "*") {
            return Ok(Hosts::Any);
        }
        let parse = |name: &String| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            // Addresses of version 6 are written in brackets there.
            let name = if name.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{name}]") } else { name };
            let well = !name.is_empty() && wootz_serve::is_host_name(&name);
            let wrong =
                || Failure::Usage(format!("{name:?} is no host name, like box.example.org, without a port"));
            well.then(|| name.clone()).ok_or_else(wrong)
        };
        self.allowed_host.iter().map(parse).collect::<Result<_, _>>().map(Hosts::Listed)
    }

    fn origins(&self) -> Result<Origins, Failure> {
        if self.cors.is_empty() {
            return Ok(Origins::None);
        }
        if self.cors.iter().any(|origin| origin == "*") {
            return Ok(Origins::Any);
        }
        let parse = |origin: &String| {
            let wrong = || Failure::Usage(format!("{origin:?} is no origin, like https://example.org"));
            let well = origin.contains("://") && !origin.ends_with('/');
            origin.parse().ok().filter(|_| well).ok_or_else(wrong)
        };
        self.cors.iter().map(parse).collect::<Result<_, _>>().map(Origins::Listed)
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: ServeArguments,
    }

    fn parsed(arguments: &[&str]) -> ServeArguments {
        Line::try_parse_from([&["serve"], arguments].concat()).unwrap().arguments
    }

    #[test]
    fn without_options_only_this_machine_can_ask() {
        let settings = parsed(&[]).listening.settings().unwrap();
        assert_eq!(settings.address, "127.0.0.1:8080".parse().unwrap());
        assert!(settings.keys.is_empty() && settings.origins == Origins::None);
    }

    #[test]
    fn keys_come_from_options_and_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "# ours\n\n first \nsecond\n").unwrap();
        let file = path.display().to_string();
        let keys =
            parsed(&["--api-key", "third", "--api-key-file", &file]).listening.settings().unwrap().keys;
        assert!(["first", "second", "third"].iter().all(|key| keys.tenant(key).is_some()));
        assert!(keys.tenant("# ours").is_none());
        std::fs::write(&path, "# none\n").unwrap();
        assert!(parsed(&["--api-key-file", &file]).listening.settings().is_err());
        assert!(parsed(&["--api-key", " "]).listening.settings().is_err());
    }

    #[test]
    fn a_host_has_no_port() {
        let hosts = |name: &str| parsed(&["--allowed-host", name]).listening.hosts();
        assert_eq!(parsed(&[]).listening.hosts().unwrap(), Hosts::Own);
        assert_eq!(hosts("*").unwrap(), Hosts::Any);
        assert_eq!(hosts("Box.Example.").unwrap(), Hosts::Listed(vec!["box.example".into()]));
        assert_eq!(hosts("2001:db8::1").unwrap(), Hosts::Listed(vec!["[2001:db8::1]".into()]));
        for wrong in ["", "box:8080", "http://box", "a b", "box/", "me@box", "."] {
            assert!(hosts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clients_and_drains_have_their_time() {
        let settings =
            parsed(&["--write-timeout", "5", "--drain-timeout", "0"]).listening.settings().unwrap();
        assert_eq!((settings.write_time, settings.drain_time), (Duration::from_secs(5), None));
        let settings = parsed(&["--drain-timeout", "7"]).listening.settings().unwrap();
        assert_eq!(settings.drain_time, Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        let origins = |origin: &str| parsed(&["--cors", origin]).listening.origins();
        assert_eq!(origins("*").unwrap(), Origins::Any);
        assert!(matches!(origins("https://example.org").unwrap(), Origins::Listed(list) if list.len() == 1));
        assert!(origins("example.org").is_err() && origins("https://example.org/").is_err());
    }
}
