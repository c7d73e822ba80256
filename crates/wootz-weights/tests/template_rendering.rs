//! Every chat template renders as Python's Jinja2 renders it (`scripts/fixtures/templates.py` made the expectations).

use std::path::{Path, PathBuf};

use serde_json::Value;
use wootz_weights::chat_template::{ChatInput, ChatTemplate, Clock, Ending, TemplateError};

/// 2025-03-09T14:05:07Z, the fixture's `now`.
const NOW: Clock = Clock::Fixed(1_741_529_107);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn render(template: &ChatTemplate, conversation: &Value) -> Result<String, TemplateError> {
    let ending = match conversation["add_generation_prompt"].as_bool() {
        Some(true) => Ending::AssistantTurn,
        _ => Ending::LastMessage,
    };
    template.render(&ChatInput {
        messages: conversation["messages"].as_array().unwrap(),
        tools: conversation["tools"].as_array().map(Vec::as_slice),
        ending,
        bos_token: "<s>",
        eos_token: "</s>",
        variables: conversation["variables"].as_object(),
    })
}

/// What differs between a template's renderings and the expectations, as a list of reports.
fn differences(name: &str, source: &str, fixture: &Value) -> Vec<String> {
    let template = ChatTemplate::new(source).and_then(|template| template.with_clock(NOW));
    let template = match template {
        Ok(template) => template,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut reports = Vec::new();
    for (case, expected) in fixture["templates"][name].as_object().unwrap() {
        let got = render(&template, &fixture["conversations"][case]);
        let agrees = match (&got, expected["text"].as_str(), expected["raised"].as_str()) {
            (Ok(text), Some(expected), _) => text == expected,
            (Err(TemplateError::Refused(message)), None, Some(expected)) => message == expected,
            // Where Python's interpreter fails (no template asked for it), failing and rendering are both right.
            (Err(TemplateError::Failed { .. }) | Ok(_), None, None) => true,
            _ => false,
        };
        if !agrees {
            reports.push(format!("{name}, {case}:\n  expected {expected}\n  got {got:?}"));
        }
    }
    reports
}

fn compare_folder(folder: &Path) -> usize {
    let fixture = fixture();
    let mut reports = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jinja") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let source = std::fs::read_to_string(&path).unwrap();
            reports.extend(differences(name, &source, &fixture));
            count += 1;
        }
    }
    assert!(reports.is_empty(), "{} differences:\n{}", reports.len(), reports.join("\n"));
    count
}

#[test]
fn committed_templates_render_as_in_python() {
    let count = compare_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates"));
    assert!(count > 0);
}

#[test]
fn all_templates_render_as_in_python() {
    let folder = root().join("../shared/data/templates");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    assert_eq!(compare_folder(&folder), fixture()["templates"].as_object().unwrap().len());
}
