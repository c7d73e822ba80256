//! Answers as events.

use serde_json::{Value, json};

use crate::support::{TestServer, text};

/// The texts of a stream's answers put together, and why each ended.
fn assemble(events: &[Value], answers: usize) -> Vec<(String, String)> {
    let mut whole = vec![(String::new(), String::new()); answers];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        let (text, reason) = &mut whole[choice["index"].as_u64().unwrap() as usize];
        assert!(reason.is_empty(), "nothing comes after the end");
        text.push_str(choice["text"].as_str().unwrap());
        reason.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_what_a_whole_answer_says() {
    let server = TestServer::start().await;
    for more in [
        json!({}),
        json!({"stop": "a"}),
        json!({"n": 3, "temperature": 1, "seed": 5, "prompt": ["One day", "The"]}),
        json!({"echo": true, "logprobs": 2}),
        json!({"echo": true, "max_tokens": 0}),
        json!({"logprobs": 1, "stop": ["little girl"]}),
    ] {
        let mut body = json!({"prompt": "Once upon a time", "max_tokens": 16, "temperature": 0});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let whole = server.complete(body.clone()).await;
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let stream = server.post("/v1/completions", &body).await;
        assert_eq!(
            (stream.status, &stream.headers["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        let events = stream.events();
        let (last, parts) = events.split_last().unwrap();
        assert_eq!(
            (&last["choices"], &last["usage"]["completion_tokens"]),
            (&json!([]), &whole["usage"]["completion_tokens"])
        );
        assert_eq!(last["usage"]["prompt_tokens"], whole["usage"]["prompt_tokens"]);
        let choices = whole["choices"].as_array().unwrap();
        for (index, (streamed, reason)) in assemble(parts, choices.len()).into_iter().enumerate() {
            assert_eq!(streamed, text(&whole, index), "{body}");
            assert_eq!(reason, choices[index]["finish_reason"].as_str().unwrap());
        }
        assert!(parts.iter().all(|event| event["id"] == parts[0]["id"] && event["usage"].is_null()));
        if choices.len() == 1 {
            for list in ["tokens", "token_logprobs", "text_offset", "top_logprobs"] {
                let streamed: Vec<Value> = parts
                    .iter()
                    .flat_map(|event| {
                        event["choices"][0]["logprobs"][list].as_array().cloned().unwrap_or_default()
                    })
                    .collect();
                let all = choices[0]["logprobs"][list].as_array().cloned().unwrap_or_default();
                assert_eq!(streamed, all, "{list} of {body}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_in_a_stream_is_as_asked_for() {
    let server = TestServer::start().await;
    let body = |options: Value| json!({"prompt": "The", "max_tokens": 9, "ignore_eos": true, "stream": true, "stream_options": options});
    let silent = server.post("/v1/completions", &body(Value::Null)).await.events();
    assert!(silent.iter().all(|event| event.get("usage").is_none()));
    let every = server.post("/v1/completions", &body(json!({"continuous_usage_stats": true}))).await.events();
    let counts: Vec<u64> =
        every.iter().map(|event| event["usage"]["completion_tokens"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted() && counts.last() == Some(&9), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_first_event_is_an_event() {
    let server = TestServer::start().await;
    server.controls.hold_after(4);
    let body = json!({"prompt": "The", "max_tokens": 40, "ignore_eos": true, "stream": true});
    let mut response = server.client.post(server.url("/v1/completions")).json(&body).send().await.unwrap();
    let mut text = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    server.controls.fail_once();
    server.controls.release();
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let error: Value = serde_json::from_str(data[data.len() - 2]).unwrap();
    assert_eq!(error["error"]["type"], "server_error");
    assert!(error["error"]["message"].as_str().unwrap().contains("told to fail"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_says_that_it_lives() {
    let server =
        TestServer::start_with(|options| options.settings.keep_alive = std::time::Duration::from_millis(10))
            .await;
    server.controls.hold_after(0);
    let body = json!({"prompt": "The", "max_tokens": 2, "stream": true});
    let mut response = server.client.post(server.url("/v1/completions")).json(&body).send().await.unwrap();
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b": working"), "{first:?}");
    server.controls.release();
    let mut rest = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
}
