//! A server over HTTP.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::chunk::{Piece, error_text, shortened};
use crate::error::LoadError;
use crate::events::EventReader;
use crate::exchange::{Exchange, ExchangeError, Heard, HeardPiece};
use crate::metrics::Metrics;
use crate::plan::{PlannedRequest, Turn};
use crate::record::{ErrorKind, Usage};
use crate::server::{Kind, Target};

/// How long a server may take to load its model, and how often it is asked whether it has.
const LOADING: Duration = Duration::from_secs(120);
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// Bytes that are read of an answer that is no stream.
const BODY_LIMIT: usize = 8 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/completions`: the prompt as it is.
    Completions,
    /// `/v1/chat/completions`: the prompt as a user's message.
    Chat,
}

impl Endpoint {
    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Completions => "/v1/completions",
            Endpoint::Chat => "/v1/chat/completions",
        }
    }
}

/// When an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After exactly the tokens planned, where the server can be told to ignore the model's end.
    Fixed,
    /// When the model ends it, and at the latest after the tokens planned.
    Free,
}

/// What all requests have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestOptions {
    /// What is asked.
    pub endpoint: Endpoint,
    /// When an answer ends.
    pub length: Length,
    /// The temperature.
    pub temperature: f64,
    /// The seed of sampling.
    pub seed: u64,
    /// The model's name; `None`: the first that the server lists.
    pub model: Option<String>,
    /// A key that is sent with every request.
    pub api_key: Option<String>,
    /// The longest that a request may take.
    pub timeout: Duration,
    /// Fields added to every request's body, over those of the same name.
    pub extra: Map<String, Value>,
}

/// A server that can be asked.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// What it is.
    pub kind: Kind,
    /// The model that is asked.
    pub model: String,
    options: RequestOptions,
    client: Client,
}

impl Server {
    /// Asks a server what it is and which models it has. One that is still loading is waited for.
    pub async fn connect(target: Target, options: RequestOptions) -> Result<Self, LoadError> {
        // Proxies would be measured with the server, so none is used.
        let client = Client::builder().no_proxy().connect_timeout(Duration::from_secs(10)).build();
        let client = client.map_err(|error| LoadError::Client(chain(&error)))?;
        let mut server = Self {
            target,
            kind: Kind::Other,
            model: options.model.clone().unwrap_or_default(),
            options,
            client,
        };
        let list = server.loaded_models().await.map_err(|error| LoadError::Unreachable {
            name: server.target.name.clone(),
            address: server.target.address.to_string(),
            why: error.to_string(),
        })?;
        let listed = |name: &str| list.get("data")?.get(0)?.get(name)?.as_str();
        server.kind = Kind::from_owner(listed("owned_by").unwrap_or_default());
        if server.options.model.is_none() {
            server.model = listed("id").unwrap_or_default().to_string();
        }
        Ok(server)
    }

    /// The list of models once there is one: a server that loads answers with 503, or with an empty list.
    async fn loaded_models(&self) -> Result<Value, ExchangeError> {
        let begun = Instant::now();
        loop {
            let answer = self.models().await;
            let waits = match &answer {
                Ok(list) => {
                    list["data"].as_array().is_some_and(Vec::is_empty) && self.options.model.is_none()
                }
                Err(error) => error.kind == ErrorKind::Status(503),
            };
            if !waits || begun.elapsed() > LOADING {
                return answer;
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    async fn models(&self) -> Result<Value, ExchangeError> {
        let response = self.send(self.client.get(self.target.at("/v1/models"))).await?;
        let body = body(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            ExchangeError::new(ErrorKind::Malformed, format!("its list of models is no JSON: {error}"))
        })
    }

    /// The server's own figures; `None` where it gives none.
    pub async fn metrics(&self) -> Option<Metrics> {
        let response = self.send(self.client.get(self.target.at("/metrics"))).await.ok()?;
        let body = body(response).await.ok()?;
        Some(Metrics::parse(&String::from_utf8_lossy(&body)))
    }

    /// The body of a request for the next turn, after those `before` it. Without a chat template a conversation is one
    /// text: what was asked, what was answered, and after an empty line what is asked next.
    pub fn body(&self, request: &PlannedRequest, before: &[Turn]) -> Value {
        let asked = request.turns.get(before.len()).map_or("", String::as_str);
        let mut stream_options = json!({ "include_usage": true });
        if self.kind.counts_in_usage() {
            stream_options["continuous_usage_stats"] = true.into();
        }
        let mut body = json!({
            "model": self.model,
            "stream": true,
            "stream_options": stream_options,
            "max_tokens": request.output_tokens,
            "temperature": self.options.temperature,
            "seed": self.options.seed,
        });
        match self.options.endpoint {
            Endpoint::Completions => {
                let text: String =
                    before.iter().map(|Turn { asked, answered }| format!("{asked}{answered}\n\n")).collect();
                body["prompt"] = (text + asked).into();
            }
            Endpoint::Chat => {
                let message = |role: &str, content: &str| json!({ "role": role, "content": content });
                let said = before
                    .iter()
                    .flat_map(|turn| [message("user", &turn.asked), message("assistant", &turn.answered)]);
                body["messages"] = said.chain([message("user", asked)]).collect();
            }
        }
        if self.kind.ignores_end() && self.options.length == Length::Fixed {
            body["ignore_eos"] = true.into();
        }
        if self.kind.counts_in_timings() {
            body["timings_per_token"] = true.into();
        }
        for (name, value) in &self.options.extra {
            body[name.as_str()] = value.clone();
        }
        body
    }

    /// Sends a request, and gives its answer if the status is a success.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ExchangeError> {
        let request = match &self.options.api_key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = request.timeout(self.options.timeout).send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = body(response).await.unwrap_or_default();
        let message = match serde_json::from_slice::<Value>(&text) {
            Ok(value) => error_text(&value),
            Err(_) => shortened(String::from_utf8_lossy(&text).trim()),
        };
        Err(ExchangeError::new(ErrorKind::Status(status.as_u16()), message))
    }
}

impl Exchange for Server {
    async fn exchange(
        &self,
        request: &PlannedRequest,
        before: &[Turn],
        heard: &mut Heard,
        progress: &dyn Fn(),
    ) -> Result<(), ExchangeError> {
        let post = self.client.post(self.target.at(self.options.endpoint.path()));
        let response = self.send(post.json(&self.body(request, before))).await?;
        let mut bytes = response.bytes_stream();
        let (mut reader, mut finished) = (EventReader::default(), false);
        while let Some(part) = bytes.next().await {
            let part = part.map_err(failed)?;
            let at = Instant::now();
            let events = reader
                .push(&part)
                .map_err(|error| ExchangeError::new(ErrorKind::Malformed, error.to_string()))?;
            for event in events {
                match read_event(&event)? {
                    Piece::Done => return Ok(()),
                    Piece::Error(message) => return Err(ExchangeError::new(ErrorKind::InStream, message)),
                    Piece::Part(part) => {
                        let before = heard.pieces.last().and_then(|piece| piece.so_far).unwrap_or(0);
                        finished |= part.finished;
                        heard.text.push_str(&part.text);
                        keep(&mut heard.usage, part.usage);
                        if part.text_bytes > 0 || part.so_far.is_some_and(|so_far| so_far > before) {
                            let (text_bytes, so_far) = (part.text_bytes, part.so_far);
                            heard.pieces.push(HeardPiece { at, text_bytes, so_far });
                            progress();
                        }
                    }
                }
            }
        }
        match finished {
            true => Ok(()),
            false => {
                let pieces = heard.pieces.len();
                let message =
                    format!("the stream ended after {pieces} pieces, without [DONE] or a finish reason");
                Err(ExchangeError::new(ErrorKind::Broken, message))
            }
        }
    }
}

fn read_event(event: &[u8]) -> Result<Piece, ExchangeError> {
    Piece::read(event).map_err(|error| {
        let data = shortened(&String::from_utf8_lossy(event));
        ExchangeError::new(ErrorKind::Malformed, format!("{error} in {data:?}"))
    })
}

/// Later counts take the place of earlier ones.
fn keep(usage: &mut Usage, later: Usage) {
    usage.prompt = later.prompt.or(usage.prompt);
    usage.cached = later.cached.or(usage.cached);
    usage.output = later.output.or(usage.output);
}

/// A body, up to a limit.
async fn body(mut response: Response) -> Result<Vec<u8>, ExchangeError> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&part);
        if body.len() > BODY_LIMIT {
            let message = format!("an answer of more than {BODY_LIMIT} bytes");
            return Err(ExchangeError::new(ErrorKind::Malformed, message));
        }
    }
    Ok(body)
}

fn failed(error: reqwest::Error) -> ExchangeError {
    let kind = if error.is_timeout() && !error.is_connect() {
        ErrorKind::Timeout
    } else if error.is_connect() || error.is_request() {
        ErrorKind::Connection
    } else {
        ErrorKind::Broken
    };
    ExchangeError::new(kind, chain(&error))
}

/// An error with its causes, the last of which says most.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    shortened(&text)
}
