//! Answers as real models' templates write them, rendered by Python's Jinja2 (`scripts/fixtures/chat_answers.py`).

mod common;

use common::{Answer, parse_pieces, source};
use serde_json::Value;
use wootz_chat::{ChatFormat, MarkerToken};

/// The beginnings of templates' names, and their formats.
const FORMATS: &[(&str, &str)] = &[
    ("Apertus", "apertus"),
    ("Bielik", "hermes"),
    ("Cohere", "cohere"),
    ("GLM-4.7", "glm"),
    ("GigaChat", "gigachat"),
    ("Kimi-K2", "kimi-k2"),
    ("Kimi-K3", "kimi-k3"),
    ("LFM2.5", "lfm"),
    ("MiMo", "hermes"),
    ("MiniMax", "minimax-m2"),
    ("Mistral-Small-3.2", "mistral-id"),
    ("NousResearch-Hermes", "hermes"),
    ("Qwen-Qwen2.5", "hermes"),
    ("Qwen3-Coder", "qwen-coder"),
    ("Spark", "glm"),
    ("deepseek-ai-DeepSeek-R1", "deepseek-r1"),
    ("deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1"),
    ("deepseek-ai-DeepSeek-V4", "deepseek-v4"),
    ("google-gemma-4", "gemma"),
    ("ibm-granite-granite-3.3", "granite"),
    ("ibm-granite-granite-4", "hermes"),
    ("meetkai-functionary", "functionary"),
    ("meta-llama", "llama"),
    ("mistralai-Ministral", "mistral"),
    ("moonshotai-Kimi-K2", "kimi-k2"),
    ("openai-gpt-oss", "harmony"),
    ("poolside-Laguna-S", "glm"),
    ("poolside-Laguna-XS", "glm-lines"),
    ("unsloth-Apriel", "apriel"),
    ("upstage-Solar", "solar"),
];

fn json(answer: &Answer) -> Vec<(String, Value)> {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    answer.calls.iter().map(|(name, arguments)| (name.clone(), value(arguments))).collect()
}

#[test]
fn answers_are_read_as_they_were_meant() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("fixtures/answers.json")).unwrap();
    assert!(rows.len() > 100);
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap();
        let template = text("template");
        let format = FORMATS.iter().rev().find(|(begin, _)| template.starts_with(begin)).unwrap().1;
        // The reasoning tags are the template's own, not the call syntax's.
        let shown = if text("text").contains("</think>") { " </think>" } else { "" };
        let format = ChatFormat::detect(&format!("{}{shown}", source(format)), |_| MarkerToken::Absent);
        let answer = parse_pieces(&format, [text("text")], false);
        let characters: Vec<String> = text("text").chars().map(String::from).collect();
        assert_eq!(parse_pieces(&format, characters.iter().map(String::as_str), false), answer);
        let calls: Vec<(String, Value)> = row["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| (call["name"].as_str().unwrap().to_owned(), call["arguments"].clone()))
            .collect();
        assert_eq!(json(&answer), calls, "{template}: {:?}", text("text"));
        let said = (answer.content.as_str(), answer.reasoning.as_str());
        assert_eq!(said, (text("content"), text("reasoning")), "{template}: {:?}", text("text"));
    }
}
