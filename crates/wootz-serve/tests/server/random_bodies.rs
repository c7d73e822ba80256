//! No body makes the server fail.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use tower::ServiceExt;
use wootz_serve::{AppState, router};

use crate::support::{Controls, Options, served_model};

/// What endpoints know, and a little that they don't.
const KEYS: [&str; 37] = [
    "add_special_tokens",
    "best_of",
    "cache_prompt",
    "deadline_ms",
    "echo",
    "frequency_penalty",
    "ignore_eos",
    "include_stop_str_in_output",
    "length_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "min_p",
    "model",
    "n",
    "n_predict",
    "presence_penalty",
    "priority",
    "prompt",
    "repeat_last_n",
    "repeat_penalty",
    "repetition_penalty",
    "return_tokens_as_token_ids",
    "seed",
    "skip_special_tokens",
    "stop",
    "stop_token_ids",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "use_beam_search",
    "user",
    "unknown",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..20).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-2.0_f64..2.0).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z <|>é\\PC]{0,12}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z0-9_]{0,6}", inner), 0..4)
                .prop_map(|entries| Value::from(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Mostly sensible, so that many bodies come far.
fn body() -> impl Strategy<Value = Value> {
    let entries = prop::collection::vec((prop::sample::select(&KEYS[..]), value()), 0..4);
    (entries, prop::bool::weighted(0.8)).prop_map(|(entries, sensible)| {
        let mut body = Map::new();
        if sensible {
            body.insert("prompt".into(), json!("The cat"));
            body.insert("max_tokens".into(), json!(3));
        }
        body.extend(entries.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(body)
    })
}

#[test]
fn no_body_gives_a_500() {
    let options = Options { context: 48, ..Options::default() };
    let model = served_model(&options, &Arc::new(Controls::default()));
    let state = AppState::new(options.settings);
    state.install(model);
    let app = router(state);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases: 400, ..ProptestConfig::default() });
    let run = runner.run(&body(), |body| {
        let request = Request::post("/v1/completions").header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let (status, text) = runtime.block_on(async {
            let response = app.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
        });
        prop_assert!(matches!(status, 200 | 400 | 404), "{status} for {body}: {text}");
        prop_assert!(!text.contains("server_error"), "{body}: {text}");
        Ok(())
    });
    run.unwrap();
}
