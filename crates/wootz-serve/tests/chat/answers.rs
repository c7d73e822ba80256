//! What a model says becomes content, reasoning and calls, whole and streamed.

use super::scripted::{Running, put_together, start};
use serde_json::{Value, json};

pub fn weather() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": false,
    });
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}])
}

/// The same request whole and streamed gives the same message.
pub async fn both(server: &Running, parameters: Value) -> (Value, Value) {
    let whole = server.whole(parameters.clone()).await;
    let chunks = server.chunks(parameters).await;
    let (mut message, finish) = put_together(&chunks, 0);
    let choice = &whole["choices"][0];
    let mut expected = choice["message"].clone();
    for message in [&mut message, &mut expected] {
        // A new id for each answer.
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            assert!(call["id"].as_str().is_some_and(|id| !id.is_empty()));
            call["id"] = Value::Null;
        }
    }
    if message.get("tool_calls").is_some_and(Value::is_null) {
        message.as_object_mut().unwrap().remove("tool_calls");
    }
    if expected.get("tool_calls").is_some_and(Value::is_null) {
        expected.as_object_mut().unwrap().remove("tool_calls");
    }
    assert_eq!(message, expected);
    assert_eq!(finish, choice["finish_reason"]);
    (expected, finish)
}

#[tokio::test]
async fn a_stream_begins_with_the_role_and_ends_with_the_counts() {
    let server = start("<think>\n</think>\n\nHi").await;
    let chunks = server.chunks(json!({"stream_options": {"include_usage": true}})).await;
    let first = &chunks[0]["choices"][0];
    assert_eq!((&first["delta"]["role"], &first["delta"]["content"]), (&json!("assistant"), &json!("")));
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].as_u64().unwrap() > 0);
    assert!(
        others.iter().all(|chunk| chunk["usage"].is_null() && chunk["object"] == "chat.completion.chunk")
    );
    assert!(
        chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["system_fingerprint"].is_string())
    );
    let whole = server.whole(json!({})).await;
    assert_eq!(whole["usage"]["completion_tokens"], last["usage"]["completion_tokens"]);
}

#[tokio::test]
async fn a_call_that_the_model_decides_on_is_read() {
    let call = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    let server = start(&format!("<think>\nThe weather.\n</think>\n\n{call}")).await;
    let (message, finish) = both(&server, json!({"tools": weather()})).await;
    assert_eq!(finish, "tool_calls");
    assert_eq!(message["content"], Value::Null);
    let function = &message["tool_calls"][0]["function"];
    assert_eq!(function["name"], "get_weather");
    let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"city": "Paris"}));
    // Without tools, or with a choice of none, it is text.
    for parameters in [json!({}), json!({"tools": weather(), "tool_choice": "none"})] {
        let (message, finish) = both(&server, parameters).await;
        assert_eq!((message["content"].as_str(), &finish), (Some(call), &json!("stop")));
    }
}

#[tokio::test]
async fn stop_strings_cut_the_content_only() {
    let server = start("<think>\none two END three\n</think>\n\nfour five END six").await;
    let (message, finish) = both(&server, json!({"stop": ["END", "never"]})).await;
    assert_eq!((message["content"].as_str(), finish.as_str()), (Some("four five "), Some("stop")));
    assert_eq!(message["reasoning_content"], "one two END three");
    let kept = server.whole(json!({"stop": "END", "include_stop_str_in_output": true})).await;
    assert_eq!(kept["choices"][0]["message"]["content"], "four five END");
    let usage = server.chunks(json!({"stop": "END", "stream_options": {"include_usage": true}})).await;
    assert_eq!(usage.last().unwrap()["usage"]["completion_tokens"], kept["usage"]["completion_tokens"]);
}

#[tokio::test]
async fn log_probabilities_are_those_of_the_content() {
    let server = start("<think>\nWell.\n</think>\n\nHé!").await;
    let whole = server.whole(json!({"logprobs": true, "top_logprobs": 2})).await;
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let bytes: Vec<u8> = tokens.iter().map(|token| token["bytes"][0].as_u64().unwrap() as u8).collect();
    assert_eq!(String::from_utf8(bytes).unwrap().trim_start(), "Hé!");
    assert!(tokens.iter().all(|token| token["top_logprobs"].as_array().unwrap().len() == 2));
    let chunks = server.chunks(json!({"logprobs": true, "top_logprobs": 2})).await;
    let streamed = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
    let streamed = streamed.filter_map(|choice| choice["logprobs"]["content"].as_array()).flatten();
    assert_eq!(streamed.collect::<Vec<_>>(), tokens.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answer_goes_on_from_the_last_message() {
    let server = start("Once upon a time").await;
    let messages =
        json!([{"role": "user", "content": "Tell."}, {"role": "assistant", "content": "Once upon"}]);
    let parameters = json!({"messages": messages, "continue_final_message": true});
    let (message, _) = both(&server, parameters).await;
    assert_eq!(message["content"], " a time");
}
