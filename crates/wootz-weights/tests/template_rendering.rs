//! Every chat template renders as Python's Jinja2 renders it (`scripts/fixtures/templates.py` made the expectations).

use std::path::{Path, PathBuf};

use serde_json::Value;
use wootz_weights::chat_template::{ChatInput, ChatTemplate, Clock, Ending, TemplateError, message};

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
    let template = ChatTemplate::new(source).map(|template| template.with_clock(NOW));
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

#[test]
fn runaway_templates_are_stopped() {
    let messages = [message("user", "Hi")];
    let input = ChatInput { messages: &messages, ..ChatInput::default() };
    let doubled = "{% set ns = namespace(x='abcdefgh') %}{% for i in range(60) %}{% set ns.x = EXPRESSION %}{% endfor %}";
    let doublings =
        ["ns.x ~ ns.x", "ns.x + ns.x", "ns.x * 2", "[ns.x, ns.x] | join", "ns.x | replace('a', ns.x)"];
    let methods = ["ns.x.replace('a', ns.x)", "''.join([ns.x, ns.x])"];
    let mut sources: Vec<String> =
        doublings.iter().chain(&methods).map(|it| doubled.replace("EXPRESSION", it)).collect();
    sources.push("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}".to_owned());
    sources.push("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}".to_owned());
    sources.push(
        "{% for i in range(99999) %}{% for j in range(99999) %}literal text{% endfor %}{% endfor %}"
            .to_owned(),
    );
    sources.push(
        "{% set ns = namespace(x=[0]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
            .to_owned(),
    );
    for source in sources {
        let result = ChatTemplate::new(source.as_str()).unwrap().render(&input);
        assert!(matches!(result, Err(TemplateError::Runaway { .. })), "{source}: {result:?}");
    }
}

#[test]
fn operators_are_pythons() {
    let render = |source: &str| {
        let input = ChatInput { ending: Ending::LastMessage, ..ChatInput::default() };
        ChatTemplate::new(source).unwrap().render(&input)
    };
    for (source, expected) in [
        ("{{ 1 + 2 }} {{ 1.5 + 1 }} {{ true + 1 }} {{ 2 * 3 }} {{ 0.5 * 2 }}", "3 2.5 2 6 1.0"),
        ("{{ 'a' + 'b' }}{{ 'ab' * 2 }}{{ 3 * '-' }}{{ 'x' * -1 }}", "ababab---"),
        ("{{ ([1] + [2, 3]) * 2 }}", "[1, 2, 3, 1, 2, 3]"),
        ("{{ 1 ~ none ~ true ~ 'x' }}", "1NoneTruex"),
        // Markup escapes what is added to it, and stays as it is in a concatenation.
        ("{{ '<a>' | safe + '<b>' }}{{ '<b>' + '<a>' | safe }}", "<a>&lt;b&gt;&lt;b&gt;<a>"),
        ("{{ '<a>' | safe ~ '<b>' }}", "<a><b>"),
        ("{% set x = ['a'] %}{{ x[0 + 0] }}{{ range(1 + 1) | list }}", "a[0, 1]"),
        (
            "{{ [{'n': 'p'}, {'n': 'q'}] | join('-', attribute='n') }}{{ 'aXbX' | replace('X', '.') }}",
            "p-qa.b.",
        ),
    ] {
        assert_eq!(render(source).unwrap(), expected, "{source}");
    }
    for wrong in
        ["{{ 'a' + 1 }}", "{{ 'a' + none }}", "{{ nothing + 'a' }}", "{{ [] + 'a' }}", "{{ {} * 2 }}"]
    {
        assert!(matches!(render(wrong), Err(TemplateError::Failed { .. })), "{wrong}");
    }
    let refused = render("{{ raise_exception('No: ' + 'why') }}").unwrap_err();
    assert!(matches!(&refused, TemplateError::Refused(message) if message == "No: why"), "{refused}");
    assert!(matches!(ChatTemplate::new("{% if %}"), Err(TemplateError::Syntax { .. })));
}

#[test]
fn lists_change_as_in_python() {
    let render = |source: &str| {
        let input = ChatInput { ending: Ending::LastMessage, ..ChatInput::default() };
        ChatTemplate::new(source).unwrap().render(&input)
    };
    let filled =
        "{% set ns = namespace(ids=[]) %}{% for i in range(4) %}{% set _ = ns.ids.append(i) %}{% endfor %}";
    for (expression, expected) in [
        ("ns.ids", "[0, 1, 2, 3]"),
        ("ns.ids.pop(0)", "0"),
        ("ns.ids.pop()", "3"),
        ("ns.ids[-1]", "3"),
        ("ns.ids[1:] | tojson", "[1, 2, 3]"),
        ("ns.ids.insert(1, 'x') or ns.ids", "[0, 'x', 1, 2, 3]"),
        ("ns.ids.extend([7]) or (ns.ids + [8]) | join('-')", "0-1-2-3-7-8"),
        ("2 in ns.ids and ns.ids == [0, 1, 2, 3] and ns.ids is sequence", "True"),
        ("'full' if ns.ids else 'empty'", "full"),
        ("ns.ids.count(2)", "1"),
    ] {
        assert_eq!(render(&format!("{filled}{{{{ {expression} }}}}")).unwrap(), expected, "{expression}");
    }
    assert_eq!(
        render("{% set a = [] %}{{ 'y' if a else 'n' }}{{ a.append('[]') or a }}").unwrap(),
        "n['[]']"
    );
    for wrong in ["a.append(a)", "a.append({'x': [a]})", "a.pop()", "a.append()", "'x'.append(1)"] {
        let result = render(&format!("{{% set a = [] %}}{{{{ {wrong} }}}}"));
        assert!(matches!(result, Err(TemplateError::Failed { .. })), "{wrong}: {result:?}");
    }
    let endless = "{% set a = [] %}{% for i in range(99999) %}{% for j in range(99999) %}{{ a.append(i) }}\
                   {% endfor %}{% endfor %}";
    assert!(matches!(render(endless), Err(TemplateError::Runaway { .. })));
}

#[test]
fn tools_take_the_template_for_them() {
    let named = [("default", "plain"), ("tool_use", "tools: {{ tools | length }}"), ("rag", "rag")];
    let named = named.map(|(name, source)| (name.to_owned(), source.to_owned()));
    let template = ChatTemplate::with_names(named.to_vec()).unwrap();
    let tools = [Value::from("a"), Value::from("b")];
    let with_tools = ChatInput { tools: Some(&tools), ..ChatInput::default() };
    assert_eq!(template.render(&ChatInput::default()).unwrap(), "plain");
    assert_eq!(template.render(&with_tools).unwrap(), "tools: 2");
    assert_eq!(template.render_named("rag", &with_tools).unwrap(), "rag");
    let unknown = template.render_named("nothing", &with_tools).unwrap_err().to_string();
    assert!(unknown.contains("default, tool_use, rag"), "{unknown}");
}
