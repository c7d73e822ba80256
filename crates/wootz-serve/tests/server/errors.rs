//! What is refused, with which status, and which parameter is named. (size gate: a table)

use serde_json::{Value, json};

use crate::support::TestServer;

/// A body, the status, the parameter, and what the message says.
type Case = (Value, u16, Option<&'static str>, &'static str);

fn cases() -> Vec<Case> {
    vec![
        (json!({}), 400, Some("prompt"), "no prompt"),
        (json!({"prompt": null}), 400, Some("prompt"), "no prompt"),
        (json!({"prompt": []}), 400, Some("prompt"), "empty"),
        (json!({"prompt": ["a", []]}), 400, Some("prompt"), "empty"),
        (json!({"prompt": 5}), 400, Some("prompt"), "a prompt is a text"),
        (json!({"prompt": [1.5]}), 400, Some("prompt"), "a prompt is a text"),
        (json!({"prompt": [4_000_000]}), 400, Some("prompt"), "outside the model's vocabulary"),
        (json!({"prompt": "word ".repeat(2000)}), 400, Some("prompt"), "leaves no room"),
        (json!({"prompt": vec!["a"; 300]}), 400, Some("prompt"), "at most 256"),
        (json!({"prompt": "a", "model": "gpt-4"}), 404, Some("model"), "there is \"tales\""),
        (json!({"prompt": "a", "max_tokens": 0}), 400, Some("max_tokens"), "at least 1"),
        (json!({"prompt": "a", "max_tokens": -1}), 400, Some("max_tokens"), ""),
        (json!({"prompt": "a", "max_tokens": 1.5}), 400, Some("max_tokens"), ""),
        (json!({"prompt": "a", "max_tokens": 5, "n_predict": 6}), 400, Some("n_predict"), "same option"),
        (json!({"prompt": "a", "n_predict": -2}), 400, Some("n_predict"), "-1"),
        (json!({"prompt": "a", "temperature": -0.5}), 400, Some("temperature"), "must be"),
        (json!({"prompt": "a", "temperature": "hot"}), 400, Some("temperature"), ""),
        (json!({"prompt": "a", "top_p": 1.5}), 400, Some("top_p"), "must be"),
        (json!({"prompt": "a", "min_p": -1}), 400, Some("min_p"), "must be"),
        (json!({"prompt": "a", "typical_p": 7}), 400, Some("typical_p"), "must be"),
        (json!({"prompt": "a", "top_k": -3}), 400, Some("top_k"), "-1 or more"),
        (json!({"prompt": "a", "repetition_penalty": 0}), 400, Some("repetition_penalty"), "must be"),
        (
            json!({"prompt": "a", "repetition_penalty": 1.1, "repeat_penalty": 1.2}),
            400,
            Some("repeat_penalty"),
            "same",
        ),
        (json!({"prompt": "a", "logit_bias": {"the": 1}}), 400, Some("logit_bias"), "token ids"),
        (json!({"prompt": "a", "logit_bias": {"99999999": 1}}), 400, Some("logit_bias"), "token ids"),
        (json!({"prompt": "a", "n": 0}), 400, Some("n"), "possible are 1 to 8"),
        (json!({"prompt": "a", "n": 9}), 400, Some("n"), "possible are 1 to 8"),
        (json!({"prompt": "a", "n": 3, "best_of": 2}), 400, Some("best_of"), "at least n"),
        (json!({"prompt": "a", "best_of": 3, "stream": true}), 400, Some("best_of"), "stream"),
        (json!({"prompt": "a", "logprobs": 101}), 400, Some("logprobs"), "0 to 100"),
        (json!({"prompt": "a", "logprobs": true}), 400, Some("logprobs"), ""),
        (json!({"prompt": "a", "stop": ""}), 400, Some("stop"), "empty"),
        (json!({"prompt": "a", "stop": vec!["x"; 40]}), 400, Some("stop"), "at most 32"),
        (json!({"prompt": "a", "stop": "x".repeat(2000)}), 400, Some("stop"), "1024 bytes"),
        (
            json!({"prompt": "a", "stop_token_ids": [99_999_999]}),
            400,
            Some("stop_token_ids"),
            "ids go from 0",
        ),
        (json!({"prompt": "a", "suffix": "b"}), 400, Some("suffix"), "filling in the middle"),
        (json!({"prompt": "a", "suffix": "b", "echo": true}), 400, Some("echo"), "suffix"),
        (json!({"prompt": "a", "length_penalty": 1}), 400, Some("length_penalty"), "use_beam_search"),
        (
            json!({"prompt": "a", "use_beam_search": true, "stream": true}),
            400,
            Some("use_beam_search"),
            "stream",
        ),
        (json!({"prompt": "a", "use_beam_search": true, "stop": "x"}), 400, Some("use_beam_search"), "stop"),
        (json!({"prompt": "a", "use_beam_search": true, "echo": true}), 400, Some("echo"), "use_beam_search"),
        (
            json!({"prompt": "a", "use_beam_search": true, "temperature": 0.5}),
            400,
            Some("temperature"),
            "use_beam_search",
        ),
        (json!({"prompt": "a", "use_beam_search": true, "top_k": 5}), 400, Some("top_k"), "use_beam_search"),
        (
            json!({"prompt": "a", "stream_options": {"include_usage": true}}),
            400,
            Some("stream_options"),
            "stream",
        ),
        (
            json!({"prompt": "a", "stream": true, "stream_options": {"include_obfuscation": true}}),
            400,
            Some("stream_options.include_obfuscation"),
            "not possible",
        ),
        (
            json!({"prompt": "a", "stream": true, "stream_options": {"x": 1}}),
            400,
            Some("stream_options.x"),
            "",
        ),
        (json!({"prompt": "a", "guided_regex": r"[^\s\S]"}), 400, Some("guided_regex"), "no text"),
        (json!({"prompt": "a", "id_slot": 1}), 400, Some("id_slot"), "unknown parameter"),
        (
            json!({"prompt": "a", "timings_per_token": true}),
            400,
            Some("timings_per_token"),
            "unknown parameter",
        ),
        (json!({"prompt": "a", "cache_prompt": 1}), 400, Some("cache_prompt"), ""),
        (json!({"prompt": "a", "mirostat": 2}), 400, Some("mirostat"), "unknown parameter"),
        (json!([]), 400, None, "not a JSON object"),
        (json!("text"), 400, None, "not a JSON object"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_named_with_its_parameter() {
    let server = TestServer::start().await;
    for (body, status, param, says) in cases() {
        let answer = server.post("/v1/completions", &body).await;
        let shown: String = body.to_string().chars().take(80).collect();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text);
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{shown}");
        assert_eq!(error["param"].as_str(), param, "{shown}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{shown}: {error}");
        assert!(error.as_object().unwrap().contains_key("code"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_methods_and_types_have_their_status() {
    let server = TestServer::start().await;
    let client = &server.client;
    let url = |path: &str| server.url(path);
    let json = "application/json";
    for (request, status) in [
        (client.get(url("/nowhere")), 404),
        (client.get(url("/v1/models/nobody")), 404),
        (client.get(url("/v1/completions")), 405),
        (client.delete(url("/v1/models")), 405),
        (client.post(url("/v1/completions")).body("{}"), 415),
        (client.post(url("/v1/completions")).header("content-type", "text/plain").body("{}"), 415),
        (client.post(url("/v1/completions")).header("content-type", json).body("{\"prompt\": "), 400),
        (client.post(url("/v1/completions")).header("content-type", json).body(""), 400),
        (client.post(url("/v1/completions")).header("content-type", json).body(vec![0xff, 0xfe]), 400),
        (client.post(url("/v1/completions")).header("content-type", json).body("[".repeat(100_000)), 400),
        (
            client
                .post(url("/v1/completions?x=1"))
                .header("content-type", "application/json; charset=utf-8")
                .body("{"),
            400,
        ),
    ] {
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}
