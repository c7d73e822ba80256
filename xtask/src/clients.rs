//! Clients of other people, driven against a running server: `tests/clients`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// The key that the server is opened with.
const KEY: &str = "a-key-for-tests";
/// The name by which the server is asked for its model.
const MODEL: &str = "tales";
/// The model, relative to the root.
const MODEL_FILE: &str = "models/tales-46m.Q4_K_M.gguf";
/// Loading the model takes a second or two; a debug build on a busy machine more.
const START: Duration = Duration::from_secs(120);

/// Which clients to drive.
#[derive(Args, Default)]
pub struct Options {
    /// Only these; without it, all of them
    #[arg(value_enum)]
    clients: Vec<Client>,
}

/// A client.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Client {
    /// The official Python package
    Python,
    /// LangChain's ChatOpenAI
    Langchain,
    /// The official Node.js package
    Node,
    /// Requests made up from the server's OpenAPI document
    Schemathesis,
}

/// Where things are.
struct Folders {
    /// `tests/clients`.
    scripts: PathBuf,
    /// Installed packages.
    packages: PathBuf,
}

/// Installs the clients, starts a server and drives them.
pub fn run(repository: &Repository, options: &Options) -> Result<(), Failure> {
    let target = target_folder(repository);
    let folders =
        Folders { scripts: repository.root().join("tests/clients"), packages: target.join("clients") };
    let wanted = |client: &Client| options.clients.is_empty() || options.clients.contains(client);
    let clients: Vec<Client> = Client::value_variants().iter().copied().filter(wanted).collect();
    install(repository, &folders, &clients)?;
    let mut build = repository.cargo();
    build.args(["build", "--quiet", "--bin", "wootz"]);
    process::run(build)?;
    let program = target.join("debug/wootz");
    for client in clients {
        let server = Server::start(repository, &program, client)?;
        let mut command = folders.command(repository, client, &server);
        let variables =
            [("WOOTZ_URL", server.url()), ("WOOTZ_KEY", KEY.into()), ("WOOTZ_MODEL", MODEL.into())];
        // A proxy of the environment has no business between a client and this machine.
        command.envs(variables).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        process::run(command)?;
    }
    Ok(())
}

fn target_folder(repository: &Repository) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.root().join("target"), PathBuf::from)
}

/// Installs the packages that the clients need, in the versions that are written down.
fn install(repository: &Repository, folders: &Folders, clients: &[Client]) -> Result<(), Failure> {
    if clients.iter().any(|client| *client != Client::Node) {
        let environment = folders.packages.join("python");
        if !environment.join("bin/python").is_file() {
            need_python()?;
            let mut create = repository.command("python3");
            create.args(["-m", "venv"]).arg(&environment);
            process::run(create)?;
        }
        let mut install = repository.command(&folders.python().to_string_lossy());
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        install.arg(folders.scripts.join("python/requirements.txt"));
        process::run(install)?;
    }
    if clients.contains(&Client::Node) {
        need_node()?;
        let folder = folders.packages.join("node");
        std::fs::create_dir_all(&folder).map_err(|reason| Failure::File { path: folder.clone(), reason })?;
        for name in ["package.json", "package-lock.json", "openai_client.mjs"] {
            let path = folders.scripts.join("node").join(name);
            std::fs::copy(&path, folder.join(name)).map_err(|reason| Failure::File { path, reason })?;
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder);
        process::run(install)?;
    }
    Ok(())
}

fn need_python() -> Result<(), Failure> {
    if process::succeeds("python3", &["-c", "import ensurepip, venv"]) {
        return Ok(());
    }
    process::install_packages("Python with virtual environments", &["python3", "python3-venv"])
}

fn need_node() -> Result<(), Failure> {
    if process::succeeds("npm", &["--version"]) {
        return Ok(());
    }
    process::install_packages("Node.js with npm", &["nodejs", "npm"])
}

impl Folders {
    fn python(&self) -> PathBuf {
        self.packages.join("python/bin/python")
    }

    fn command(&self, repository: &Repository, client: Client, server: &Server) -> Command {
        let scripts = self.scripts.join("python");
        match client {
            Client::Python | Client::Langchain => {
                let script =
                    if client == Client::Python { "openai_client.py" } else { "langchain_client.py" };
                let mut command = repository.command(&self.python().to_string_lossy());
                command.arg(scripts.join(script));
                command
            }
            Client::Node => {
                // Beside its packages, where Node.js looks for them.
                let mut command = repository.command("node");
                command.arg(self.packages.join("node/openai_client.mjs"));
                command
            }
            Client::Schemathesis => {
                let mut command =
                    repository.command(&self.packages.join("python/bin/schemathesis").to_string_lossy());
                command.arg("--config-file").arg(scripts.join("schemathesis.toml")).arg("run");
                command.args(["--header", &format!("Authorization: Bearer {KEY}")]);
                command.arg(format!("{}/openapi.json", server.url()));
                command
            }
        }
    }
}

/// A running server; it ends when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(repository: &Repository, program: &Path, client: Client) -> Result<Server, Failure> {
        let address = free_address().map_err(|error| failed(format!("no free port: {error}")))?;
        let mut command = repository.command(&program.to_string_lossy());
        // A short context bounds what a made-up request without a limit of tokens costs.
        let context = if client == Client::Schemathesis { "48" } else { "512" };
        command.args(["serve", MODEL_FILE, "--name", MODEL, "--api-key", KEY, "--context", context]);
        command.args(["--port", &address.port().to_string()]);
        eprintln!("$ {} serve {MODEL_FILE}", program.display());
        let child = command.spawn().map_err(|error| failed(format!("it could not be started ({error})")))?;
        let mut server = Server { child, address };
        let begun = Instant::now();
        while !server.is_ready() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(failed(format!("it ended before it was ready ({status})")));
            }
            if begun.elapsed() > START {
                return Err(failed(format!("it was not ready within {} seconds", START.as_secs())));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether `/health` says 200.
    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(self.address)?;
            write!(stream, "GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200"))
        };
        ask().unwrap_or(false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(status: String) -> Failure {
    Failure::Command { command: "wootz serve".to_owned(), status }
}

/// An address of this machine at which nothing listens.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
