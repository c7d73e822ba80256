//! What can't be done is refused by name; what can is not.

use super::scripted::start;
use serde_json::{Value, json};

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

/// Predictions for several answers, and forms and calls that can't be held to what was asked for.
fn impossible_together() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"prediction": {"type": "content", "content": "Hi"}, "n": 2}), "prediction"),
        (
            json!({"prediction": {"type": "content", "content": [{"type": "image_url", "image_url": {}}]}}),
            "prediction.content[0].type",
        ),
        (
            json!({"tools": [tool("a")], "tool_choice": "required", "response_format":
                {"type": "json_schema", "json_schema": {"schema": {"uniqueItems": true}}}}),
            "response_format",
        ),
        (
            json!({"tools": [tool("a")], "response_format":
                {"type": "json_schema", "json_schema": {"schema": {"uniqueItems": true}}}}),
            "response_format",
        ),
        (
            json!({"response_format": {"type": "json_object"}, "tools": [{"type": "function", "function":
                {"name": "a", "strict": true, "parameters": {"properties": {"b": {"uniqueItems": true}}}}}]}),
            "tools",
        ),
    ]
}

#[tokio::test]
async fn every_refusal_names_its_parameter() {
    let server = start("<think>\n</think>\n\nHi").await;
    let said = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let table = [
        (json!({"audio": {"voice": "a"}}), "audio"),
        (json!({"functions": []}), "functions"),
        (json!({"function_call": "auto"}), "function_call"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"store": true}), "store"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"moderation": {}}), "moderation"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "nobody", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "function", "name": "f", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "assistant"}]}), "messages[0].content"),
        (
            said(json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}])),
            "messages[0].content[1].type",
        ),
        (
            said(json!([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])),
            "messages[0].content[0].type",
        ),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 5, "max_completion_tokens": 6}), "max_completion_tokens"),
        (json!({"temperature": -0.5}), "temperature"),
        (json!({"top_p": 1.5}), "top_p"),
        (json!({"n": 0}), "n"),
        (json!({"n": 100_000}), "n"),
        (json!({"stop": ""}), "stop"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"tools": [tool("a"), tool("a")]}), "tools[1].function.name"),
        (json!({"tools": [tool("")]}), "tools[0].function.name"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "a"}}]}), "tools[0].type"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tools": [tool("a")], "tool_choice": tool("b")}), "tool_choice.function.name"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 3}}}),
            "response_format.json_schema.schema",
        ),
        (json!({"response_format": {"type": "json_object"}, "guided_regex": "a"}), "guided_regex"),
        (json!({"guided_regex": "("}), "guided_regex"),
        (json!({"guided_regex": r"[^\s\S]"}), "guided_regex"),
        (json!({"n_predict": 5}), "n_predict"),
        (json!({"id_slot": 0}), "id_slot"),
        (json!({"reasoning_effort": "low", "reasoning": {"effort": "high"}}), "reasoning.effort"),
        (json!({"reasoning": {"enabled": false, "effort": "high"}}), "reasoning.enabled"),
        (json!({"verbosity": "low"}), "verbosity"),
        (json!({"continue_final_message": true}), "continue_final_message"),
        (json!({"metadata": {"k": "v".repeat(513)}}), "metadata"),
        (json!({"no_such_parameter": 1}), "no_such_parameter"),
    ];
    for (parameters, param) in impossible_together().into_iter().chain(table) {
        let error = server.refused(parameters.clone()).await;
        assert!(
            error["param"].as_str().is_some_and(|found| found == param
                || param.starts_with(&format!("{found}."))
                || param.starts_with(&format!("{found}["))),
            "{parameters}: {error}"
        );
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10));
    }
}

#[tokio::test]
async fn every_parameter_that_does_not_hurt_is_taken() {
    let server = start("<think>\n</think>\n\nHi").await;
    let table = [
        json!({"audio": null, "functions": null, "store": false, "modalities": ["text"], "stop": null}),
        json!({"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h"}),
        json!({"prediction": {"type": "content", "content": "Hi"}, "verbosity": "medium", "seed": -3}),
        json!({"response_format": {"type": "text"}, "parallel_tool_calls": true, "tools": []}),
        json!({"cache_prompt": true, "top_k": 3, "min_p": 0.1, "typical_p": 0.9, "repetition_penalty": 1.1, "priority": 2}),
        json!({"frequency_penalty": 0.5, "presence_penalty": -0.5, "logit_bias": {"65": -100}}),
        json!({"reasoning_effort": "minimal", "chat_template_kwargs": {"enable_thinking": true}, "documents": []}),
        json!({"add_generation_prompt": true, "messages": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "3"}]}),
    ];
    for parameters in table {
        let whole = server.whole(parameters.clone()).await;
        assert_eq!(whole["choices"][0]["finish_reason"], "stop", "{parameters}");
    }
    let whole = server.whole(json!({"metadata": {"a": "b"}, "service_tier": "auto"})).await;
    assert_eq!((&whole["metadata"]["a"], &whole["service_tier"]), (&json!("b"), &json!("default")));
}
