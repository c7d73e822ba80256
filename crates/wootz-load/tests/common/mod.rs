//! A server with OpenAI's API whose answers are known in every detail.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Map, Value, json};
use wootz_load::http::{Endpoint, Length, RequestOptions};

/// How the fake server answers.
#[derive(Debug, Clone)]
pub struct Manner {
    /// What it says it is.
    pub owner: &'static str,
    /// Tokens in each piece; the last of them are repeated.
    pub bursts: Vec<u32>,
    /// Bytes in each part that it writes to the network.
    pub cut: usize,
    /// What it does with each request, in turn, before it answers as it should.
    pub troubles: VecDeque<Trouble>,
    /// Whether running counts come with every piece.
    pub counts: bool,
    /// How often it is asked for its models before it has one: first it says so, then its list is empty.
    pub loads: u32,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A status with a message.
    Busy,
    /// An error after the first token.
    ErrorInStream,
    /// The stream ends after the first token.
    Cut,
    /// A piece that is no JSON.
    Garbage,
}

/// What the server has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Bodies of requests.
    pub bodies: Vec<Value>,
    /// Keys that came with them.
    pub keys: Vec<Option<String>>,
    /// Requests for which it counted in its metrics.
    pub counted: u64,
}

#[derive(Clone)]
struct Shared {
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Seen>>,
}

/// Starts a server; it lives as long as the runtime of the test.
pub async fn start(manner: Manner) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Shared { manner: Arc::new(Mutex::new(manner)), seen: seen.clone() };
    let routes = Router::new()
        .route("/v1/models", get(models))
        .route("/metrics", get(metrics))
        .route("/v1/completions", post(answer))
        .route("/v1/chat/completions", post(answer))
        .with_state(shared);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, seen)
}

/// Options that most tests share.
pub fn options() -> RequestOptions {
    RequestOptions {
        endpoint: Endpoint::Completions,
        length: Length::Fixed,
        temperature: 0.0,
        seed: 1,
        model: None,
        api_key: Some("secret".into()),
        timeout: Duration::from_secs(3600),
        extra: Map::new(),
    }
}

async fn models(State(shared): State<Shared>) -> Response {
    let mut manner = shared.manner.lock().unwrap();
    let owner = manner.owner;
    manner.loads = manner.loads.saturating_sub(1);
    match manner.loads {
        0 => {}
        1 => return Json(json!({ "object": "list", "data": [] })).into_response(),
        _ => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    Json(json!({ "object": "list", "data": [{ "id": "fake-model", "object": "model", "owned_by": owner }] }))
        .into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let counted = shared.seen.lock().unwrap().counted;
    format!(
        "# TYPE vllm:request_queue_time_seconds histogram\n\
         vllm:request_queue_time_seconds_sum{{model_name=\"fake\"}} {}\n\
         vllm:request_queue_time_seconds_count{{model_name=\"fake\"}} {counted}\n\
         vllm:prefix_cache_hits_total {}\nvllm:prefix_cache_queries_total {}\n",
        counted as f64 * 0.25,
        counted * 10,
        counted * 40
    )
    .into_response()
}

/// The tokens of a prompt: its words and two more.
fn prompt_tokens(body: &Value) -> u64 {
    let text = body["prompt"].as_str().or_else(|| body["messages"][0]["content"].as_str()).unwrap();
    text.split_whitespace().count() as u64 + 2
}

async fn answer(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut manner = shared.manner.lock().unwrap();
    let trouble = manner.troubles.pop_front();
    let key = headers.get("authorization").map(|key| key.to_str().unwrap().to_string());
    let events = events(&manner, trouble, &body);
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.keys.push(key);
        seen.bodies.push(body);
        seen.counted += 1;
    }
    if trouble == Some(Trouble::Busy) {
        let error = json!({ "error": { "message": "too many requests wait", "type": "overloaded" } });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(error)).into_response();
    }
    let parts: Vec<_> = events.as_bytes().chunks(manner.cut).map(|part| part.to_vec()).collect();
    let parts = stream::iter(parts.into_iter().map(Ok::<_, std::io::Error>));
    ([("content-type", "text/event-stream")], Body::from_stream(parts)).into_response()
}

fn events(manner: &Manner, trouble: Option<Trouble>, body: &Value) -> String {
    let wanted = body["max_tokens"].as_u64().unwrap() as u32;
    let mut text = String::from(": hello\r\n\r\n");
    let mut event = |value: &Value| text.push_str(&format!("data: {value}\r\n\r\n"));
    let chat = body.get("messages").is_some();
    if chat {
        event(
            &json!({ "choices": [{ "delta": { "role": "assistant", "content": "" }, "finish_reason": null }] }),
        );
    }
    let usage = |output: u32| {
        json!({ "prompt_tokens": prompt_tokens(body), "completion_tokens": output,
            "prompt_tokens_details": { "cached_tokens": 2 } })
    };
    let mut bursts = manner.bursts.iter().chain(std::iter::repeat(manner.bursts.last().unwrap()));
    let mut given = 0;
    while given < wanted {
        given = wanted.min(given + bursts.next().unwrap());
        let mut piece = match chat {
            true => json!({ "choices": [{ "delta": { "content": "é " }, "finish_reason": null }] }),
            false => json!({ "choices": [{ "text": "é ", "finish_reason": null }] }),
        };
        if manner.counts {
            piece["usage"] = usage(given);
        }
        event(&piece);
        match trouble {
            Some(Trouble::ErrorInStream) => {
                event(&json!({ "error": { "message": "the device failed", "code": 500 } }));
                return text;
            }
            Some(Trouble::Cut) => return text,
            Some(Trouble::Garbage) => {
                text.push_str("data: {\"choices\": [}\n\n");
                return text;
            }
            _ => {}
        }
    }
    let end = if chat {
        json!({ "delta": {}, "finish_reason": "length" })
    } else {
        json!({ "text": "", "finish_reason": "length" })
    };
    event(&json!({ "choices": [end] }));
    event(&json!({ "choices": [], "usage": usage(wanted) }));
    text + "data: [DONE]\r\n\r\n"
}
