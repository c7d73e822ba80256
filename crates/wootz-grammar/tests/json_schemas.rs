//! JSON schemas against the `jsonschema` package (`scripts/fixtures/json_schemas.py`), and walks against serde's parser.

mod common;

use common::{Random, Walk, bytes, takes, walk};
use serde_json::Value;
use wootz_grammar::GrammarSource;

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("fixtures/json_schemas.json")).unwrap()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

#[test]
fn the_same_values_are_taken_as_by_jsonschema() {
    let compiler = bytes();
    for case in cases() {
        let source = GrammarSource::JsonSchema(case["schema"].clone());
        for text in texts(&case["yes"]) {
            assert!(takes(&compiler, &source, text), "{}: {text} should be taken", case["name"]);
        }
        for text in texts(&case["no"]) {
            assert!(!takes(&compiler, &source, text), "{}: {text} should be refused", case["name"]);
        }
    }
}

#[test]
fn walks_are_json_that_the_grammar_takes() {
    let compiler = bytes();
    let mut random = Random(5);
    for case in cases() {
        let source = GrammarSource::JsonSchema(case["schema"].clone());
        let grammar = compiler.compile(&source).unwrap();
        for _ in 0..20 {
            let Walk::Ended(text) = walk(&compiler, grammar.clone(), &mut random, 80) else { continue };
            let text = String::from_utf8(text).expect("walks are text");
            let value: Value = match serde_json::from_str(&text) {
                Ok(value) => value,
                // JSON's numbers have no limit; serde's have.
                Err(error) if error.to_string().contains("out of range") => continue,
                Err(error) => panic!("{text:?}: {error}"),
            };
            assert!(takes(&compiler, &source, &text), "{}: {text}", case["name"]);
            if case["name"] == "person" {
                let length = value["name"].as_str().unwrap().chars().count();
                assert!((2..=6).contains(&length) && value["age"].as_u64().unwrap() <= 130, "{text}");
            }
        }
    }
}
