//! What steers an answer besides the model: reasoning budgets and grammars.

use super::answers::{both, weather};
use super::scripted::start;
use serde_json::{Value, json};

#[tokio::test]
async fn reasoning_and_content_are_apart_and_counted() {
    let server = start("<think>\nA greeting: ünïcödé.\n</think>\n\nHello, wörld!").await;
    let (message, finish) = both(&server, json!({})).await;
    assert_eq!(message["content"], "Hello, wörld!");
    assert_eq!(message["reasoning_content"], "A greeting: ünïcödé.");
    assert_eq!(message["reasoning"], message["reasoning_content"]);
    assert_eq!((&finish, &message["role"]), (&json!("stop"), &json!("assistant")));
    let usage = server.whole(json!({})).await["usage"].clone();
    let reasoning = usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap();
    assert!((24..=32).contains(&reasoning), "{usage}");
    assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64());
    let hidden = server.whole(json!({"include_reasoning": false})).await;
    assert!(hidden["choices"][0]["message"].get("reasoning_content").is_none());
    assert_eq!(hidden["choices"][0]["message"]["content"], "Hello, wörld!");
}

#[tokio::test]
async fn reasoning_ends_when_its_budget_is_spent() {
    let server = start(&format!("<think>\n{}", "hm ".repeat(400))).await;
    let whole = server.whole(json!({"thinking_budget": 20, "max_tokens": 100})).await;
    let usage = &whole["usage"]["completion_tokens_details"];
    assert!((20..=30).contains(&usage["reasoning_tokens"].as_u64().unwrap()), "{whole}");
    assert!(whole["choices"][0]["message"]["reasoning_content"].as_str().unwrap().starts_with("hm hm"));
    let none = server.whole(json!({"reasoning_effort": "none", "max_tokens": 100})).await;
    assert_eq!(none["usage"]["completion_tokens_details"]["reasoning_tokens"], 0, "{none}");
}

#[tokio::test]
async fn a_required_call_is_enforced_against_the_models_will() {
    let server = start("<think>\nNo.\n</think>\n\nI will not call anything.").await;
    let named = json!({"type": "function", "function": {"name": "get_weather"}});
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {
        "mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}});
    for choice in [json!("required"), named, allowed] {
        let parameters = json!({"tools": weather(), "tool_choice": choice, "parallel_tool_calls": false,
                                "max_tokens": 400});
        let (message, finish) = both(&server, parameters).await;
        assert_eq!(finish, "tool_calls", "{message}");
        assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
        let function = &message["tool_calls"][0]["function"];
        let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        assert!(["Paris", "Oslo"].contains(&arguments["city"].as_str().unwrap()));
        assert_eq!(message["reasoning_content"], "No.");
    }
}

#[tokio::test]
async fn a_form_is_enforced_after_the_reasoning_in_every_answer() {
    let server = start("<think>\nWords.\n</think>\n\nStill words.").await;
    let schema = json!({"type": "object", "properties": {"sails": {"type": "integer", "minimum": 0, "maximum": 9}},
                        "required": ["sails"], "additionalProperties": false});
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "boat", "strict": true, "schema": schema}});
    let whole = server.whole(json!({"response_format": format, "n": 3, "max_tokens": 400})).await;
    for choice in whole["choices"].as_array().unwrap() {
        let content = choice["message"]["content"].as_str().unwrap();
        let boat: Value = serde_json::from_str(content).unwrap_or_else(|error| panic!("{error}: {content}"));
        assert!(boat["sails"].as_u64().unwrap() <= 9);
        assert_eq!(choice["message"]["reasoning_content"], "Words.");
        assert_eq!(choice["finish_reason"], "stop");
    }
    let chosen = server.whole(json!({"guided_choice": ["yes", "no"]})).await;
    let content = &chosen["choices"][0]["message"]["content"];
    assert!(content == "yes" || content == "no", "{content}");
}
