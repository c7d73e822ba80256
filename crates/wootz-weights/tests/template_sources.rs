//! Where chat templates are found.

use serde_json::{Value as Json, json};
use wootz_weights::chat_template::{ChatInput, ChatTemplate, TemplateError};
use wootz_weights::gguf::{Array, Metadata, Strings, Value};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn load(files: &[(&str, &str)]) -> Result<Option<ChatTemplate>, TemplateError> {
    ChatTemplate::from_folder(folder(files).path())
}

fn render(template: &ChatTemplate) -> String {
    template.render(&ChatInput::default()).unwrap()
}

#[test]
fn a_folder_has_its_template_in_one_of_four_places() {
    let config = json!({"chat_template": "config"}).to_string();
    let list = json!({"chat_template": [
        {"name": "default", "template": "listed"},
        {"name": "rag", "template": "listed rag"},
    ]});
    let json = json!({"chat_template": "json"}).to_string();
    assert!(load(&[]).unwrap().is_none());
    assert!(load(&[("tokenizer_config.json", "{}")]).unwrap().is_none());
    let from_config = load(&[("tokenizer_config.json", &config)]).unwrap().unwrap();
    assert_eq!(render(&from_config), "config");
    let from_list = load(&[("tokenizer_config.json", &list.to_string())]).unwrap().unwrap();
    assert_eq!(render(&from_list), "listed");
    assert_eq!(from_list.render_named("rag", &ChatInput::default()).unwrap(), "listed rag");
    let from_json =
        load(&[("tokenizer_config.json", &config), ("chat_template.json", &json)]).unwrap().unwrap();
    assert_eq!(render(&from_json), "json");
    let from_file = load(&[
        ("tokenizer_config.json", &config),
        ("chat_template.json", &json),
        ("chat_template.jinja", "file"),
        ("additional_chat_templates/tool_use.jinja", "tools"),
    ]);
    let from_file = from_file.unwrap().unwrap();
    assert_eq!(render(&from_file), "file");
    assert_eq!(from_file.names().collect::<Vec<_>>(), ["default", "tool_use"]);
    assert_eq!(from_file.source(), "file");
}

#[test]
fn damage_is_told_with_the_file() {
    let wrong: [(&str, Json); 2] = [
        ("another type", json!({"chat_template": 5})),
        ("another list", json!({"chat_template": [{"name": "x"}]})),
    ];
    for (expected, config) in wrong {
        let message = load(&[("tokenizer_config.json", &config.to_string())]).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("tokenizer_config.json"), "{message}");
    }
    let message = load(&[("tokenizer_config.json", "{")]).unwrap_err().to_string();
    assert!(message.contains("tokenizer_config.json"), "{message}");
    let message = load(&[("chat_template.jinja", "{% for %}")]).unwrap_err().to_string();
    assert!(message.contains("default") && message.contains("does not parse"), "{message}");
}

#[test]
fn gguf_metadata_holds_a_template_and_its_variants() {
    let mut metadata = Metadata::new("some.gguf");
    assert!(ChatTemplate::from_metadata(&metadata).unwrap().is_none());
    metadata.insert("tokenizer.chat_template", Value::String("main".to_owned()));
    let names: Strings = ["default", "tool_use"].into_iter().collect();
    metadata.insert("tokenizer.chat_templates", Value::Array(Array::Strings(names)));
    let message = ChatTemplate::from_metadata(&metadata).unwrap_err().to_string();
    assert!(
        message.contains("tokenizer.chat_template.tool_use") && message.contains("some.gguf"),
        "{message}"
    );
    metadata.insert("tokenizer.chat_template.tool_use", Value::String("tools".to_owned()));
    let template = ChatTemplate::from_metadata(&metadata).unwrap().unwrap();
    assert_eq!(render(&template), "main");
    let with_tools = ChatInput { tools: Some(&[]), ..ChatInput::default() };
    assert_eq!(template.render(&with_tools).unwrap(), "tools");
}
