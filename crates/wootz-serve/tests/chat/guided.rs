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

#[tokio::test]
async fn a_form_goes_with_tools_that_may_be_called() {
    let schema = json!({"type": "object", "properties": {"sails": {"enum": [1, 2]}}, "required": ["sails"],
                        "additionalProperties": false});
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "boat", "strict": true, "schema": schema}});
    let call = |city: &str| {
        format!(
            "<tool_call>\n{{\"name\": \"get_weather\", \"arguments\": {{\"city\": \"{city}\"}}}}\n</tool_call>"
        )
    };
    let thought = "<think>\nWell.\n</think>\n\n";
    let mut tools = weather();
    tools[0]["function"]["strict"] = json!(true);
    let parameters = json!({"tools": tools, "response_format": format, "max_tokens": 300});
    for script in ["{\"sails\": 2}", "{\"sails\": 9, \"more\": 1}"] {
        let server = start(&format!("{thought}{script}")).await;
        let (message, finish) = both(&server, parameters.clone()).await;
        let content = message["content"].as_str().unwrap();
        let boat: Value = serde_json::from_str(content).unwrap_or_else(|error| panic!("{error}: {content}"));
        assert!([json!(1), json!(2)].contains(&boat["sails"]), "{content}");
        assert_eq!((finish, &message["reasoning_content"]), (json!("stop"), &json!("Well.")));
    }
    for city in ["Paris", "Atlantis"] {
        let server = start(&format!("{thought}{}", call(city))).await;
        let (message, finish) = both(&server, parameters.clone()).await;
        assert_eq!((&finish, &message["content"]), (&json!("tool_calls"), &Value::Null), "{message}");
        let arguments = message["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        assert!(["Paris", "Oslo"].contains(&arguments["city"].as_str().unwrap()), "{arguments}");
    }
}

#[tokio::test]
async fn strict_functions_are_held_to_their_schema_in_a_free_answer() {
    let script = "<think>\nWell.\n</think>\n\nI look. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Atlantis\"}}\n</tool_call>";
    let server = start(script).await;
    let arguments =
        |message: &Value| message["tool_calls"][0]["function"]["arguments"].as_str().unwrap().to_owned();
    let (free, finish) = both(&server, json!({"tools": weather(), "max_tokens": 300})).await;
    assert_eq!((arguments(&free).as_str(), &finish), ("{\"city\": \"Atlantis\"}", &json!("tool_calls")));
    let mut tools = weather();
    tools[0]["function"]["strict"] = json!(true);
    let (strict, finish) = both(&server, json!({"tools": tools, "max_tokens": 300})).await;
    assert_eq!((&strict["content"], &finish), (&free["content"], &json!("tool_calls")));
    let held: Value = serde_json::from_str(&arguments(&strict)).unwrap();
    assert!(["Paris", "Oslo"].contains(&held["city"].as_str().unwrap()), "{held}");
    // An answer that does not call is what it is without a grammar.
    let server = start("<think>\n</think>\n\nJust <b>words</b> & {\"json\": 1}.").await;
    let (message, finish) = both(&server, json!({"tools": tools})).await;
    assert_eq!(message["content"], "Just <b>words</b> & {\"json\": 1}.");
    assert_eq!(finish, "stop");
}

#[tokio::test]
async fn a_prediction_changes_nothing_but_the_counts() {
    let text = "The quick brown fox jumps over the lazy dog, again and again and again.";
    let server = start(&format!("<think>\n</think>\n\n{text}")).await;
    let free = server.whole(json!({})).await;
    assert_eq!(free["usage"]["completion_tokens_details"]["accepted_prediction_tokens"], 0);
    let parts = json!([{"type": "text", "text": &text[..20]}, {"type": "text", "text": &text[20..]}]);
    for content in [json!(text), parts, json!("nothing of the kind"), json!(text.replace("lazy", "wild"))] {
        let parameters = json!({"prediction": {"type": "content", "content": content}});
        let whole = server.whole(parameters.clone()).await;
        assert_eq!(whole["choices"][0]["message"], free["choices"][0]["message"]);
        assert_eq!(whole["usage"]["completion_tokens"], free["usage"]["completion_tokens"]);
        let details = &whole["usage"]["completion_tokens_details"];
        let accepted = details["accepted_prediction_tokens"].as_u64().unwrap();
        if content != "nothing of the kind" {
            assert!(accepted > 30, "{details}");
        }
        if content != json!(text) && !content.is_array() {
            assert!(
                details["rejected_prediction_tokens"].as_u64().unwrap() > 0 || accepted == 0,
                "{details}"
            );
        }
        let mut streamed = parameters;
        streamed["stream_options"] = json!({"include_usage": true});
        let chunks = server.chunks(streamed).await;
        assert_eq!(&chunks.last().unwrap()["usage"]["completion_tokens_details"], details);
    }
}
