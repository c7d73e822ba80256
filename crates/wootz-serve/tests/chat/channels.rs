//! A model that answers on channels, as gpt-oss does: forms and calls stand inside them, after the reasoning.

use super::answers::{both, weather};
use super::scripted::{Dialect, Running, start_in};
use serde_json::{Value, json};

/// The ends of the prompt's messages are tokens of their own here, so that the scripted model finds its answer.
const CHANNELS: Dialect = Dialect {
    template: "{% for message in messages %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|eom|>\
               {% endfor %}<|start|>assistant{# <|channel|> tools #}",
    special: &[
        "<|start|>",
        "<|end|>",
        "<|message|>",
        "<|channel|>",
        "<|constrain|>",
        "<|call|>",
        "<|return|>",
        "<|eom|>",
    ],
    turn: "<|eom|><|start|>assistant",
    end: "<|return|>",
};

const ANALYSIS: &str = "<|channel|>analysis<|message|>Well.<|end|><|start|>assistant";

fn boat() -> Value {
    let schema = json!({"type": "object", "properties": {"sails": {"enum": [1, 2]}}, "required": ["sails"],
                        "additionalProperties": false});
    json!({"type": "json_schema", "json_schema": {"name": "boat", "strict": true, "schema": schema}})
}

fn strict_weather() -> Value {
    let mut tools = weather();
    tools[0]["function"]["strict"] = json!(true);
    tools
}

async fn answer(script: &str, parameters: Value) -> (Value, Value) {
    let server: Running = start_in(CHANNELS, script).await;
    both(&server, parameters).await
}

fn city(message: &Value) -> String {
    let arguments = message["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    arguments["city"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_form_comes_on_the_final_channel_after_the_analysis() {
    let scripts = [
        (format!("{ANALYSIS}<|channel|>final<|message|>Words."), "Well."),
        (format!("{ANALYSIS}<|channel|>final<|message|>{{\"sails\": 2}}"), "Well."),
        ("<|channel|>final<|message|>Words.".to_owned(), ""),
        ("Words.".to_owned(), ""),
        (ANALYSIS.to_owned(), "Well."),
    ];
    for (script, reasoning) in scripts {
        let (message, finish) = answer(&script, json!({"response_format": boat(), "max_tokens": 200})).await;
        let content = message["content"].as_str().unwrap();
        let boat: Value = serde_json::from_str(content).unwrap_or_else(|error| panic!("{error}: {message}"));
        assert!([json!(1), json!(2)].contains(&boat["sails"]), "{script}: {content}");
        assert_eq!(finish, "stop", "{script}");
        assert_eq!(message["reasoning_content"].as_str().unwrap_or_default(), reasoning, "{script}");
    }
}

#[tokio::test]
async fn a_spent_budget_leads_to_the_form_and_to_a_call() {
    let script = format!("<|channel|>analysis<|message|>{}", "hm ".repeat(100));
    let budget = json!({"thinking_budget": 12, "max_tokens": 200, "response_format": boat()});
    let (message, _) = answer(&script, budget).await;
    assert_eq!(message["reasoning_content"], "hm hm hm hm");
    let boat: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
    assert!(boat["sails"].is_u64(), "{message}");
    let call =
        json!({"thinking_budget": 12, "max_tokens": 200, "tools": weather(), "tool_choice": "required"});
    let (message, finish) = answer(&script, call).await;
    assert_eq!((&finish, &message["reasoning_content"]), (&json!("tool_calls"), &json!("hm hm hm hm")));
    assert!(["Paris", "Oslo"].contains(&city(&message).as_str()), "{message}");
}

#[tokio::test]
async fn a_call_inside_the_analysis_does_not_slip_past_its_schema() {
    let script = "<|channel|>analysis<|message|>Now <|channel|>commentary to=functions.get_weather \
                  <|constrain|>json<|message|>{\"city\": \"Atlantis\"}";
    let (message, _) = answer(script, json!({"tools": weather(), "max_tokens": 200})).await;
    assert_eq!(city(&message), "Atlantis");
    let required =
        json!({"tools": weather(), "tool_choice": "required", "max_tokens": 200, "thinking_budget": 30});
    let (message, _) = answer(script, required).await;
    assert!(["Paris", "Oslo"].contains(&city(&message).as_str()), "{message}");
}

#[tokio::test]
async fn calls_go_with_forms_and_strict_calls_with_free_text() {
    let call =
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Atlantis\"}";
    let free = json!({"tools": weather(), "max_tokens": 200});
    let (message, finish) = answer(&format!("{ANALYSIS}{call}"), free).await;
    assert_eq!((city(&message).as_str(), finish), ("Atlantis", json!("tool_calls")));
    let strict = json!({"tools": strict_weather(), "max_tokens": 200});
    let formed = json!({"tools": strict_weather(), "max_tokens": 200, "response_format": boat()});
    for parameters in [&strict, &formed] {
        let (message, finish) = answer(&format!("{ANALYSIS}{call}"), parameters.clone()).await;
        assert!(["Paris", "Oslo"].contains(&city(&message).as_str()), "{message}");
        assert_eq!((finish, &message["reasoning_content"]), (json!("tool_calls"), &json!("Well.")));
    }
    let text = format!("{ANALYSIS}<|channel|>final<|message|>Just {{\"json\": 1}} and <b>words</b>.");
    let (message, finish) = answer(&text, strict).await;
    assert_eq!(
        (&message["content"], finish),
        (&json!("Just {\"json\": 1} and <b>words</b>."), json!("stop"))
    );
    let (message, _) = answer(&text, formed).await;
    let boat: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
    assert!(boat["sails"].is_u64(), "{message}");
}
