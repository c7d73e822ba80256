//! Content of a form and calls of a schema, inside what the formats write around them.

mod common;

use common::grammar::{Markers, compiler, format, refusal, written};
use common::{SOURCES, parse_pieces};
use serde_json::json;
use wootz_chat::{
    AnswerForm, AnswerPlace, ChatFormat, Parallel, Strictness, ToolChoice, ToolDefinition, UnmarkedCalls,
};
use wootz_grammar::{Grammar, GrammarCompiler, GrammarSource};

const BOTH: [Markers; 2] = [Markers::Controls, Markers::Spelled];

fn strict_tools() -> Vec<ToolDefinition> {
    let mut tools = common::tools();
    tools[0].strictness = Strictness::Schema;
    tools[0].parameters["additionalProperties"] = json!(false);
    tools
}

fn boat() -> GrammarSource {
    GrammarSource::JsonSchema(json!({"type": "object", "properties": {"sails": {"$ref": "#/$defs/count"}},
        "required": ["sails"], "additionalProperties": false, "$defs": {"count": {"enum": [1, 2]}}}))
}

struct Case<'a> {
    compiler: &'a GrammarCompiler,
    format: ChatFormat,
    markers: Markers,
}

impl Case<'_> {
    fn grammar(&self, form: &AnswerForm) -> Grammar {
        let source = self.format.answer_grammar(form).unwrap().expect("something to enforce");
        self.compiler
            .compile(&source)
            .unwrap_or_else(|error| panic!("{}: {error}\n{source:?}", self.format.name()))
    }

    #[track_caller]
    fn takes(&self, grammar: &Grammar, text: &str) {
        let refused = refusal(&mut grammar.clone(), text, self.markers);
        assert_eq!(refused, None, "{} {:?}: {text:?}", self.format.name(), self.markers);
    }

    #[track_caller]
    fn refuses(&self, grammar: &Grammar, text: &str) {
        let refused = refusal(&mut grammar.clone(), text, self.markers);
        assert!(refused.is_some(), "{} {:?}: {text:?}", self.format.name(), self.markers);
    }
}

fn cases(compiler: &GrammarCompiler) -> impl Iterator<Item = Case<'_>> {
    SOURCES.iter().flat_map(move |(name, _)| {
        BOTH.map(|markers| Case { compiler, format: format(name, markers), markers })
    })
}

const AUTO: AnswerForm = AnswerForm {
    tools: &[],
    choice: &ToolChoice::Auto,
    parallel: Parallel::Many,
    content: None,
    place: AnswerPlace::Turn,
};

/// What stands before and after a format's content, in the order in which the answer has it.
fn framed(name: &str, content: &str) -> String {
    match name {
        "harmony" => format!("<|channel|>final<|message|>{content}"),
        "kimi-k3" => format!("<|open|>response<|sep|>{content}<|close|>response<|sep|>"),
        "cohere" => format!("<|START_RESPONSE|>{content}<|END_RESPONSE|>"),
        "solar" => format!("<|content|>{content}<|end|>"),
        "granite" => format!("<response>{content}</response>"),
        "apriel" => format!("{content}\n[END FINAL RESPONSE]"),
        _ => content.to_owned(),
    }
}

#[test]
fn content_of_a_form_stands_where_the_format_has_it() {
    let compiler = compiler();
    for case in cases(&compiler) {
        let name = case.format.name();
        let content = boat();
        let form = AnswerForm { content: Some(&content), ..AUTO };
        let grammar = case.grammar(&form);
        let text = framed(name, "{\"sails\": 2}");
        case.takes(&grammar, &text);
        let answer = parse_pieces(&case.format, [text.as_str()], false);
        assert_eq!(answer.content.trim(), "{\"sails\": 2}", "{name}");
        case.refuses(&grammar, &framed(name, "{\"sails\": 3}"));
        case.refuses(&grammar, "Hello");
        if ["harmony", "kimi-k3", "cohere", "solar"].contains(&name) {
            case.refuses(&grammar, "{\"sails\": 2}");
        }
        let inside = case.grammar(&AnswerForm { place: AnswerPlace::Content, ..form });
        case.takes(&inside, "{\"sails\": 2}");
        let choice = GrammarSource::Choice(vec!["yes".to_owned(), "no".to_owned()]);
        let after = AnswerForm { content: Some(&choice), place: AnswerPlace::Reasoning, ..AUTO };
        let after = case.grammar(&after);
        case.takes(&after, &framed(name, "yes"));
        match name {
            "harmony" => case.takes(&after, "<|start|>assistant<|channel|>final<|message|>no"),
            "solar" => case.takes(&after, "<|begin|>assistant<|content|>no"),
            "kimi-k3" | "cohere" => {}
            _ => case.takes(&after, &format!("\n\n{}", framed(name, "no"))),
        }
    }
}

#[test]
fn an_answer_is_calls_or_content_of_the_form() {
    let compiler = compiler();
    let tools = strict_tools();
    for case in cases(&compiler) {
        let name = case.format.name();
        let choice = GrammarSource::Choice(vec!["yes".to_owned(), "no".to_owned()]);
        for (content, yes, no) in [(boat(), "{\"sails\": 2}", "{\"sails\": 3}"), (choice, "yes", "maybe")] {
            let form = AnswerForm { tools: &tools, content: Some(&content), ..AUTO };
            let grammar = case.grammar(&form);
            case.takes(&grammar, &framed(name, yes));
            let good = written("get_weather", json!({"city": "a", "flag": false}));
            case.takes(&grammar, &case.format.write_calls(&[good]));
            let bad = written("get_weather", json!({"city": "a", "other": false}));
            case.refuses(&grammar, &case.format.write_calls(&[bad]));
            case.refuses(&grammar, &framed(name, no));
            case.refuses(&grammar, "Hello");
            let choice = ToolChoice::Required;
            let required = case.grammar(&AnswerForm { choice: &choice, ..form });
            case.refuses(&required, &framed(name, yes));
            let none = case.grammar(&AnswerForm { choice: &ToolChoice::None, ..form });
            case.takes(&none, &framed(name, yes));
            case.refuses(&none, &case.format.write_calls(&[written("now", json!({}))]));
        }
    }
}

#[test]
fn strict_calls_follow_the_schema_in_free_answers() {
    let compiler = compiler();
    let tools = strict_tools();
    for case in cases(&compiler) {
        let name = case.format.name();
        let form = AnswerForm { tools: &tools, ..AUTO };
        if name == "llama" {
            assert_eq!(case.format.answer_grammar(&form), Err(UnmarkedCalls), "{name}");
            continue;
        }
        let source = case.format.answer_grammar(&AnswerForm { tools: &common::tools(), ..AUTO });
        assert_eq!(source, Ok(None), "{name}: tools that are not strict leave the answer free");
        let grammar = case.grammar(&form);
        let say = |text: &str| match name {
            "harmony" => format!("<|channel|>final<|message|>{text}"),
            "kimi-k3" => format!("<|open|>response<|sep|>{text}<|close|>response<|sep|>"),
            _ => text.to_owned(),
        };
        case.takes(&grammar, &say("Hello, <b> ü {\"name\": 1} <tool_cal"));
        let good = written("get_weather", json!({"city": "a", "flag": false}));
        let good = case.format.write_calls(&[good]);
        let before = match name {
            "harmony" => "<|channel|>analysis<|message|>Well.<|end|><|start|>assistant".to_owned(),
            _ => say("Let me see.\n"),
        };
        case.takes(&grammar, &good);
        case.takes(&grammar, &format!("{before}{good}"));
        let bad = case.format.write_calls(&[written("get_weather", json!({"city": "a", "other": false}))]);
        case.refuses(&grammar, &format!("{before}{bad}"));
        case.refuses(&grammar, &bad);
        let unknown = case.format.write_calls(&[written("fly", json!({}))]);
        case.refuses(&grammar, &unknown);
        let loose = case.format.write_calls(&[written("search", json!({"query": "x"}))]);
        case.takes(&grammar, &loose);
        if ["gigachat", "harmony"].contains(&name) {
            continue;
        }
        case.takes(&grammar, &format!("{before}{good}{good}{}", say(" Done.")));
        let single = case.grammar(&AnswerForm { parallel: Parallel::Single, ..form });
        case.takes(&single, &format!("{before}{good}"));
        case.takes(&single, &say("No call."));
        case.refuses(&single, &format!("{before}{good}{good}"));
    }
}
