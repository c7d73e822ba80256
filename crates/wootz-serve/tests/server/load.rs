//! Many requests at a time.

use serde_json::json;

use crate::support::{TestServer, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_text_whatever_the_load() {
    let server = TestServer::start().await;
    let body = |seed: u64| json!({"prompt": "One day, a", "max_tokens": 24, "temperature": 1, "seed": seed, "logprobs": 1});
    let mut alone = Vec::new();
    for seed in 0..6 {
        alone.push(server.complete(body(seed)).await);
    }
    let requests = (0..6).map(|seed| server.complete(body(seed)));
    let noise = (0..6).map(|seed| {
        server.complete(
            json!({"prompt": "The little ".repeat(30), "max_tokens": 10 + seed, "temperature": 1.2}),
        )
    });
    let all = futures_util::future::join_all(requests.chain([]));
    let noise = futures_util::future::join_all(noise);
    let (together, _) = futures_util::future::join(all, noise).await;
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(text(alone, 0), text(together, 0));
        assert_eq!(alone["choices"][0]["logprobs"], together["choices"][0]["logprobs"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_told_to_come_back() {
    let server = TestServer::start_with(|options| {
        options.engine.sequences = 1;
        options.engine.queue = 1;
    })
    .await;
    server.controls.hold_after(1);
    let body = json!({"prompt": "The", "max_tokens": 3, "ignore_eos": true});
    let ask = || {
        let request = server.client.post(server.url("/v1/completions")).json(&body);
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    let first = ask();
    server.until_metric("wootz_requests_received_total", 1.0).await;
    let second = ask();
    server.until_metric("wootz_waiting", 1.0).await;
    let refused = server.client.post(server.url("/v1/completions")).json(&body).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let error: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "queue_full");
    server.controls.release();
    assert_eq!([first.await.unwrap(), second.await.unwrap()], [200, 200]);
    assert_eq!(server.post("/v1/completions", &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_pages() {
    let server = TestServer::start().await;
    for stream in [true, false] {
        server.controls.hold_after(2);
        let body = json!({"prompt": "The", "max_tokens": 400, "ignore_eos": true, "stream": stream});
        let request = server.client.post(server.url("/v1/completions")).json(&body).send();
        let asked = tokio::spawn(request);
        server.until_metric("wootz_requests_received_total", if stream { 1.0 } else { 2.0 }).await;
        asked.abort();
        // A response that is there already goes with its task's handle.
        drop(asked);
        server.until_metric("wootz_http_requests_open", 1.0).await;
        server.controls.release();
        server.until_metric("wootz_pages{state=\"held\"}", 0.0).await;
        server.until_metric("wootz_running", 0.0).await;
    }
    let cancelled = server.metric("wootz_requests_total{outcome=\"cancelled\"}").await;
    assert_eq!(cancelled, 2.0);
}
