//! The two ways to end.

use serde_json::json;
use wootz_serve::{ServeSettings, Server};

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn answers_under_way_end_and_new_ones_are_refused() {
    let server = TestServer::start().await;
    server.controls.hold_after(2);
    let body = json!({"prompt": "The", "max_tokens": 20, "ignore_eos": true});
    let request = server.client.post(server.url("/v1/completions")).json(&body);
    let asked =
        tokio::spawn(async move { request.send().await.unwrap().json::<serde_json::Value>().await.unwrap() });
    // A step has run, so the engine has it.
    server.until_metric("wootz_requests_received_total", 1.0).await;
    server.handle.drain();
    let health = server.get("/health").await;
    assert_eq!((health.status, health.json()["status"].clone()), (503, json!("draining")));
    let refused = server.post("/v1/completions", &body).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (503, json!("draining")));
    assert!(refused.headers.contains_key("retry-after"));
    server.controls.release();
    assert_eq!(asked.await.unwrap()["usage"]["completion_tokens"], 20);
    server.running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait() {
    let server = TestServer::start().await;
    server.controls.hold_after(2);
    let body = json!({"prompt": "The", "max_tokens": 20, "ignore_eos": true});
    let asked = tokio::spawn(server.client.post(server.url("/v1/completions")).json(&body).send());
    server.until_metric("wootz_requests_received_total", 1.0).await;
    let controls = std::sync::Arc::clone(&server.controls);
    server.handle.drain();
    server.handle.stop();
    server.running.await.unwrap();
    assert!(asked.await.unwrap().is_err(), "the connection is cut");
    controls.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_model_says_so() {
    let settings = ServeSettings { address: ([127, 0, 0, 1], 0).into(), ..ServeSettings::default() };
    let server = Server::bind(settings).await.unwrap();
    let (address, handle) = (server.address(), server.handle());
    let running = tokio::spawn(server.run());
    let health = reqwest::get(format!("http://{address}/health")).await.unwrap();
    assert_eq!(health.status(), 503);
    assert_eq!(health.json::<serde_json::Value>().await.unwrap(), json!({"status": "loading"}));
    let request = reqwest::Client::new().post(format!("http://{address}/v1/completions"));
    let refused = request.json(&json!({"prompt": "The"})).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    handle.stop();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_named() {
    let server = TestServer::start().await;
    let settings = ServeSettings { address: server.address, ..ServeSettings::default() };
    let error = Server::bind(settings).await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()), "{error}");
}
