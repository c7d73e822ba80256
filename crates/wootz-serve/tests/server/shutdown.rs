//! The two ways to end.

use std::io::Write;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;
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
async fn a_drain_has_its_time() {
    let server =
        TestServer::start_with(|options| options.settings.drain_time = Some(Duration::from_millis(50))).await;
    server.controls.hold_after(2);
    let body = json!({"prompt": "The", "max_tokens": 20, "ignore_eos": true});
    // A client of its own, so that no other connection waits to be used again.
    let asked = tokio::spawn(reqwest::Client::new().post(server.url("/v1/completions")).json(&body).send());
    server.until_metric("wootz_requests_received_total", 1.0).await;
    let controls = std::sync::Arc::clone(&server.controls);
    server.handle.drain();
    assert!(server.running.await.unwrap() >= 1);
    assert!(asked.await.unwrap().is_err(), "the connection is cut");
    controls.release();
}

/// A client that reads nothing would hold its answer's connection for ever, and with it a drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let server = TestServer::start_with(|options| {
        options.settings.write_time = Duration::from_millis(100);
        options.settings.drain_time = None;
    })
    .await;
    // More than the system takes in for a client that reads nothing.
    let body = json!({
        "prompt": "The", "max_tokens": 400, "ignore_eos": true, "stream": true, "n": 8, "temperature": 1, "logprobs": 100,
    });
    let body = body.to_string();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    server.until_metric("wootz_requests_received_total", 1.0).await;
    server.handle.drain();
    assert_eq!(server.running.await.unwrap(), 0, "it ended without being cut off by the drain");
    drop(stream);
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
