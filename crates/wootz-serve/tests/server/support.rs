//! Servers for tests, and a model whose steps tests can hold back and make fail.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::task::JoinHandle;
use wootz_backend::BackendError;
use wootz_backend::cache::{CacheShape, pages_for};
use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_backend::model::Model;
use wootz_backend::step::{Step, StepLimits};
use wootz_engine::{Engine, EngineSettings};
use wootz_serve::chat::ChatModel;
use wootz_serve::{ServeSettings, ServedModel, Server, ServerHandle};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;
use wootz_weights::tokenizer::Tokenizer;

/// The model's name in requests.
pub const NAME: &str = "tales";

/// What tests do to a model while it runs.
#[derive(Debug, Default)]
pub struct Controls {
    /// So many more steps may begin; `None`: all.
    allowed: Mutex<Option<usize>>,
    changed: Condvar,
    fail: AtomicBool,
}

impl Controls {
    /// After so many more steps, the next waits at its beginning.
    pub fn hold_after(&self, steps: usize) {
        *self.allowed.lock().unwrap() = Some(steps);
    }

    /// Steps go on.
    pub fn release(&self) {
        *self.allowed.lock().unwrap() = None;
        self.changed.notify_all();
    }

    /// The next step fails.
    pub fn fail_once(&self) {
        self.fail.store(true, Ordering::SeqCst);
    }

    fn pass(&self) -> Result<(), BackendError> {
        let mut allowed = self.allowed.lock().unwrap();
        while *allowed == Some(0) {
            allowed = self.changed.wait(allowed).unwrap();
        }
        *allowed = allowed.map(|steps| steps - 1);
        match self.fail.swap(false, Ordering::SeqCst) {
            true => Err(BackendError::Device { reason: "it was told to fail".into() }),
            false => Ok(()),
        }
    }
}

/// A model under control.
struct Controlled {
    model: CpuModel,
    controls: Arc<Controls>,
}

impl Model for Controlled {
    fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    fn cache(&self) -> CacheShape {
        self.model.cache()
    }

    fn limits(&self) -> StepLimits {
        self.model.limits()
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        self.controls.pass()?;
        self.model.forward(step)
    }

    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.model.read_page(page, bytes)
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.model.write_page(page, bytes)
    }
}

/// What a test wants of its server.
pub struct Options {
    pub settings: ServeSettings,
    pub engine: EngineSettings,
    pub context: usize,
    /// Contexts that the page pool holds.
    pub contexts: usize,
}

impl Default for Options {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            settings: ServeSettings { address, ..ServeSettings::default() },
            engine: EngineSettings { sequences: 8, ..EngineSettings::default() },
            context: 512,
            contexts: 8,
        }
    }
}

/// The model, in service but without a server.
pub fn served_model(options: &Options, controls: &Arc<Controls>) -> ServedModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales-7m.Q8_0.gguf");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let spec = ModelSpec::from_config(&checkpoint.config().unwrap()).unwrap();
    let settings = CpuSettings {
        threads: 1,
        pages: options.contexts * pages_for(options.context),
        rows: 128,
        samples: options.engine.sequences,
        ..CpuSettings::default()
    };
    let model = CpuModel::load(spec, &checkpoint, &settings, &mut |_| {}).unwrap();
    let vocab = model.limits().vocab;
    let model = Controlled { model, controls: Arc::clone(controls) };
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
    let chat = ChatModel::from_checkpoint(&checkpoint, &tokenizer, vocab).unwrap();
    ServedModel {
        name: NAME.into(),
        engine: Engine::start(Box::new(model), options.engine.clone()).unwrap(),
        tokenizer: Arc::new(tokenizer),
        chat,
        context: options.context,
        vocab,
        sequences: options.engine.sequences,
        created: 1,
    }
}

/// Lets steps go on when a test ends, also by a panic: else the engine's thread would wait for ever, and the test with it.
pub struct Release(Arc<Controls>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A running server.
pub struct TestServer {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    /// Says how many connections were cut off.
    pub running: JoinHandle<usize>,
    pub controls: Arc<Controls>,
    pub client: reqwest::Client,
    _release: Release,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The objects of a stream, which has to end with `[DONE]`.
    pub fn events(&self) -> Vec<Value> {
        let data: Vec<&str> = self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let (last, events) = data.split_last().expect("there are events");
        assert_eq!(*last, "[DONE]");
        events.iter().map(|event| serde_json::from_str(event).expect("events are JSON")).collect()
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        change(&mut options);
        let controls = Arc::new(Controls::default());
        let model = served_model(&options, &controls);
        let server = Server::bind(options.settings).await.unwrap();
        let (address, handle) = (server.address(), server.handle());
        handle.install(model);
        let running = tokio::spawn(server.run());
        let _release = Release(Arc::clone(&controls));
        // Every request on a connection of its own: a server that ends may close an idle one just when it is used again.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        Self { address, handle, running, controls, client, _release }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    /// A completion that has to succeed.
    pub async fn complete(&self, body: Value) -> Value {
        let answer = self.post("/v1/completions", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// The value of a metric, by its name with labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        while self.metric(name).await != value {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The text of answer `index`.
pub fn text(answer: &Value, index: usize) -> &str {
    answer["choices"][index]["text"].as_str().expect("an answer has a text")
}
