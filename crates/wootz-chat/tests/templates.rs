//! What templates of real models write is read back: calls, reasoning and content that go in come out.
//!
//! The templates lie in `../shared/data/templates` beside the repository; without them the test says so and passes.

mod common;

use std::path::{Path, PathBuf};

use common::{Answer, parse_pieces};
use serde_json::{Map, Value, json};
use wootz_chat::{ChatFormat, MarkerToken};
use wootz_weights::chat_template::{ChatInput, ChatTemplate, Ending};

/// File names, the format that they are detected as, and what the template shows of a message with calls.
const TEMPLATES: &[(&str, &str, Shows)] = &[
    ("Apertus-8B-Instruct", "apertus", Shows { reasoning: false, ..ALL }),
    ("Bielik-11B-v3.0-Instruct", "hermes", ALL),
    ("Cohere2MoE", "cohere", Shows { content: Content::LeftOut, ..ALL }),
    ("CohereForAI-c4ai-command-r7b-12-2024-tool_use", "cohere", Shows { content: Content::LeftOut, ..ALL }),
    ("GLM-4.7-Flash", "glm", ALL),
    ("GigaChat3.1-10B-A1.8B", "gigachat", Shows { reasoning: false, calls: 1, ..ALL }),
    ("Kimi-K2-Instruct", "kimi-k2", Shows { reasoning: false, ..ALL }),
    ("Kimi-K3", "kimi-k3", ALL),
    ("LFM2.5-8B-A1B", "lfm", ALL),
    ("MiMo-VL", "hermes", Shows { reasoning: false, ..ALL }),
    ("MiniMax-M2", "minimax-m2", ALL),
    (
        "Mistral-Small-3.2-24B-Instruct-2506",
        "mistral-id",
        Shows { content: Content::LeftOut, reasoning: false, ..ALL },
    ),
    ("NVIDIA-Nemotron-Nano-v2", "nemotron", Shows { content: Content::Elsewhere, reasoning: false, ..ALL }),
    (
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
        "hermes",
        Shows { content: Content::LeftOut, reasoning: false, ..ALL },
    ),
    ("Qwen-Qwen2.5-7B-Instruct", "hermes", Shows { reasoning: false, ..ALL }),
    ("Qwen3-Coder", "qwen-coder", Shows { reasoning: false, ..ALL }),
    ("Spark2.5", "glm", ALL),
    (
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
        "deepseek-r1",
        Shows { content: Content::Elsewhere, reasoning: false, ..ALL },
    ),
    ("deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1", Shows { reasoning: false, ..ALL }),
    ("deepseek-ai-DeepSeek-V4-Flash-0731", "deepseek-v4", ALL),
    ("fireworks-ai-llama-3-firefunction-v2", "firefunction", Shows { reasoning: false, ..ALL }),
    ("google-gemma-4-31B-it-interleaved", "gemma", ALL),
    ("ibm-granite-granite-3.3-2B-Instruct", "granite", Shows { reasoning: false, ..ALL }),
    ("ibm-granite-granite-4.1", "hermes", Shows { reasoning: false, ..ALL }),
    ("llama-cpp-deepseek-r1", "deepseek-r1", Shows { content: Content::Elsewhere, reasoning: false, ..ALL }),
    ("meetkai-functionary-medium-v3.1", "functionary", Shows { reasoning: false, ..ALL }),
    (
        "meta-llama-Llama-3.1-8B-Instruct",
        "llama",
        Shows { content: Content::LeftOut, reasoning: false, calls: 1 },
    ),
    (
        "meta-llama-Llama-3.3-70B-Instruct",
        "llama",
        Shows { content: Content::LeftOut, reasoning: false, calls: 1 },
    ),
    ("mistralai-Ministral-3-14B-Reasoning-2512", "mistral", ALL),
    ("moonshotai-Kimi-K2", "kimi-k2", Shows { reasoning: false, ..ALL }),
    ("openai-gpt-oss-120b", "harmony", Shows { content: Content::Elsewhere, calls: 1, ..ALL }),
    ("poolside-Laguna-S-2.1", "glm", ALL),
    ("poolside-Laguna-XS.2", "glm-lines", ALL),
    ("unsloth-Apriel-1.5", "apriel", Shows { reasoning: false, ..ALL }),
    ("upstage-Solar-Open-100B", "solar", Shows { content: Content::LeftOut, ..ALL }),
];

/// What a template shows of a message with calls.
#[derive(Debug, Clone, Copy)]
struct Shows {
    content: Content,
    reasoning: bool,
    /// The most calls in one message.
    calls: usize,
}

/// What becomes of the content of a message with calls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Shown,
    LeftOut,
    /// It is shown as something else: as reasoning, as a turn of its own.
    Elsewhere,
}

const ALL: Shows = Shows { content: Content::Shown, reasoning: true, calls: 9 };

/// What ends a turn.
const ENDS: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|END_OF_TURN_TOKEN|>",
    "<EOS>",
    "[e~[",
    "<SPECIAL_12>",
    "</assistant>",
    "<｜end▁of▁sentence｜>",
    "<turn|>",
    "<|end_of_text|>",
    "<|message_sep|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|end_of_msg|>",
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    "<|start_header_id|>assistant<|end_header_id|>",
    "<|assistant_end|>",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/templates")
}

struct Model {
    name: &'static str,
    template: ChatTemplate,
    format: ChatFormat,
}

impl Model {
    fn load(name: &'static str) -> Option<Model> {
        let source = std::fs::read_to_string(folder().join(format!("{name}.jinja"))).ok()?;
        let format = ChatFormat::detect(&source, |_| MarkerToken::Absent);
        Some(Model { name, template: ChatTemplate::new(source).unwrap(), format })
    }

    fn render(&self, messages: &[Value], ending: Ending, thinking: Option<bool>) -> Result<String, String> {
        let tools = self.format.prepare_tools(&tool_values());
        let messages = self.format.prepare(messages, &tools);
        let mut variables = self.format.variables(&tools, "Jan 02 2025");
        if let Some(thinking) = thinking {
            variables.extend(Map::from_iter([
                ("enable_thinking".to_owned(), json!(thinking)),
                ("thinking".to_owned(), json!(thinking)),
            ]));
        }
        let input = ChatInput {
            messages: &messages,
            tools: Some(&tools),
            ending,
            bos_token: "<BOS>",
            eos_token: "<EOS>",
            variables: Some(&variables),
        };
        self.template.render(&input).map_err(|error| error.to_string())
    }

    /// The text of the last message as the model would have written it, and whether the prompt opens the reasoning.
    fn written(&self, messages: &[Value]) -> Result<(String, bool), String> {
        let whole = self.render(messages, Ending::LastMessage, Some(true))?;
        let before = &messages[..messages.len() - 1];
        let mut tried = Vec::new();
        for thinking in [Some(true), Some(false), None] {
            let prompt = self.render(before, Ending::AssistantTurn, thinking)?;
            if let Some(rest) = whole.strip_prefix(&prompt) {
                return Ok((without_end(rest).to_owned(), self.format.opened_by(&prompt)));
            }
            tried.push(prompt);
        }
        // The template shows earlier turns in another way than it begins new ones: what both begin with is the prompt.
        let marker = [
            "<|assistant|>",
            "<｜Assistant｜>",
            "<SPECIAL_11>Assistant\n",
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
            "<assistant>\n",
            "]~b]ai\n",
            "<|im_start|>assistant",
            "<|Bot|>",
            "<|turn>model\n",
        ]
        .iter()
        .find_map(|marker| {
            let from = whole.rfind("USERMSG")?;
            whole[from..].find(marker).map(|at| from + at + marker.len())
        })
        .ok_or_else(|| format!("no prompt fits:\n{whole:?}\n{tried:?}"))?;
        Ok((without_end(&whole[marker..]).trim_start().to_owned(), false))
    }
}

fn without_end(text: &str) -> &str {
    let mut text = text.trim_end();
    while let Some(shorter) = ENDS.iter().find_map(|end| text.strip_suffix(end)) {
        text = shorter.trim_end();
    }
    text
}

fn tool_values() -> Vec<Value> {
    common::tools()
        .iter()
        .map(|tool| json!({"type": "function", "function": {"name": tool.name, "description": "x", "parameters": tool.parameters}}))
        .collect()
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

const WEATHER: &str =
    r#"{"city": "Paris, \"TX\" it's", "days": 3, "flag": false, "deep": {"a": [1, 2.5, true], "b": "x"}}"#;
const SEARCH: &str = r#"{"query": "line1\n<b>&"}"#;

fn compare(model: &Model, shows: Shows, message: &Value) -> Result<(), String> {
    let messages = [json!({"role": "user", "content": "USERMSG"}), message.clone()];
    let (text, opened) = model.written(&messages)?;
    let answer = parse_pieces(&model.format, [text.as_str()], opened);
    let each: Vec<String> = text.chars().map(String::from).collect();
    let cut = parse_pieces(&model.format, each.iter().map(String::as_str), opened);
    let wanted = Answer {
        content: message["content"]
            .as_str()
            .filter(|_| shows.content == Content::Shown || message["tool_calls"].is_null())
            .unwrap_or("")
            .to_owned(),
        ..Answer::default()
    };
    let reasoning = message["reasoning_content"].as_str().filter(|_| shows.reasoning).unwrap_or("");
    let calls: Vec<(String, Value)> = message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| {
            let function = &call["function"];
            (
                function["name"].as_str().unwrap().to_owned(),
                serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap(),
            )
        })
        .collect();
    let read: Vec<(String, Value)> = answer
        .calls
        .iter()
        .map(|(name, arguments)| {
            (name.clone(), serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments)))
        })
        .collect();
    let same =
        read == calls && answer.content == wanted.content && answer.reasoning == reasoning && cut == answer;
    if same { Ok(()) } else { Err(format!("{text:?} (opened: {opened})\n  {answer:?}")) }
}

#[test]
fn templates_are_read_back() {
    if !folder().is_dir() {
        println!("skipped: {} is not there", folder().display());
        return;
    }
    let mut wrong = Vec::new();
    for (name, expected, shows) in TEMPLATES {
        let Some(model) = Model::load(name) else {
            println!("skipped: {name} is not there");
            continue;
        };
        if model.format.name() != *expected {
            wrong.push(format!("{name} is detected as {}", model.format.name()));
        }
        let one = json!([call("call_1", "get_weather", WEATHER)]);
        let two = json!([call("call_1", "get_weather", WEATHER), call("call_2", "search", SEARCH)]);
        let mut messages = vec![
            json!({"role": "assistant", "content": "Some text.", "tool_calls": one}),
            json!({"role": "assistant", "content": null, "tool_calls": one}),
            json!({"role": "assistant", "content": "", "reasoning_content": "Think\nhard.", "tool_calls": one}),
            json!({"role": "assistant", "content": "Two\n\nlines, {\"a\": 1} and <b>."}),
        ];
        messages.push(json!({"role": "assistant", "content": "", "tool_calls": two}));
        messages.retain(|message| {
            let calls = message["tool_calls"].as_array().map_or(0, Vec::len);
            let has_content = message["content"].as_str().is_some_and(|text| !text.is_empty());
            let elsewhere = shows.content == Content::Elsewhere && has_content;
            calls <= shows.calls && !(elsewhere && (calls > 0 || *expected == "nemotron"))
        });
        for message in &messages {
            if let Err(error) = compare(&model, *shows, message) {
                wrong.push(format!("{name} ({}), {message}:\n  {error}", model.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every template takes a whole conversation, whatever the models before it have written.
#[test]
fn conversations_are_rendered() {
    let one = json!([call("call_1", "get_weather", WEATHER)]);
    let two =
        json!([call("call_2", "get_weather", "{\"city\": \"Oslo\"}"), call("call_3", "search", SEARCH)]);
    let conversation = |result: &str| {
        vec![
            json!({"role": "system", "content": "SYSTEMTEXT"}),
            json!({"role": "developer", "content": [{"type": "text", "text": "DEVELOPERTEXT"}]}),
            json!({"role": "user", "content": [{"type": "text", "text": "FIRSTPART"}, {"type": "text", "text": "SECONDPART"}]}),
            json!({"role": "assistant", "content": null, "tool_calls": one, "reasoning_content": "Hm."}),
            json!({"role": "tool", "tool_call_id": "call_1", "content": result}),
            json!({"role": "assistant", "content": "Wait.", "tool_calls": two}),
            json!({"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "{\"r\": \"SECONDRESULT\"}"}]}),
            json!({"role": "tool", "tool_call_id": "call_3", "content": "{\"r\": \"THIRDRESULT\"}"}),
            json!({"role": "assistant", "content": "ANSWERTEXT", "tool_calls": []}),
            json!({"role": "user", "content": "LASTQUESTION"}),
        ]
    };
    let mut wrong = Vec::new();
    for (name, _, shows) in TEMPLATES.iter().filter(|(_, _, shows)| shows.calls > 0) {
        let Some(model) = Model::load(name) else {
            println!("skipped: {name} is not there");
            continue;
        };
        let rendered = model.render(&conversation("{\"r\": \"FIRSTRESULT\"}"), Ending::AssistantTurn, None);
        let text = match rendered {
            Ok(text) => text,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let words = [
            "SYSTEMTEXT",
            "DEVELOPERTEXT",
            "FIRSTPART",
            "SECONDPART",
            "FIRSTRESULT",
            "SECONDRESULT",
            "THIRDRESULT",
            "ANSWERTEXT",
            "LASTQUESTION",
            "Oslo",
            "line1",
        ];
        let mut at = 0;
        for word in words {
            if !text.contains(word) {
                wrong.push(format!("{name} ({shows:?}) leaves out {word}"));
            }
            if ["FIRSTPART", "FIRSTRESULT", "SECONDRESULT", "THIRDRESULT", "ANSWERTEXT", "LASTQUESTION"]
                .contains(&word)
            {
                let next = text.rfind(word).unwrap_or(at);
                if next < at {
                    wrong.push(format!("{name}: {word} comes too early"));
                }
                at = next;
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
