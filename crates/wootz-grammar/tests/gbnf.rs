//! GBNF against llama.cpp's own parser (`scripts/fixtures/gbnf.py`): the same texts are taken and refused.

mod common;

use common::{Random, THINK, Walk, bytes, takes, walk};
use serde_json::Value;
use wootz_grammar::{GrammarError, GrammarSource, TokenMask};

fn gbnf(text: &str) -> GrammarSource {
    GrammarSource::Gbnf(text.to_owned())
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

#[test]
fn the_same_texts_are_taken_as_by_llama_cpp() {
    let compiler = bytes();
    let fixture: Value = serde_json::from_str(include_str!("fixtures/gbnf.json")).unwrap();
    for case in fixture["grammars"].as_array().unwrap() {
        let source = gbnf(case["grammar"].as_str().unwrap());
        for text in texts(&case["yes"]) {
            assert!(takes(&compiler, &source, text), "{}: {text:?} should be taken", case["name"]);
        }
        for text in texts(&case["no"]) {
            assert!(!takes(&compiler, &source, text), "{}: {text:?} should be refused", case["name"]);
        }
    }
}

#[test]
fn what_llama_cpp_refuses_is_refused_by_place() {
    let compiler = bytes();
    let fixture: Value = serde_json::from_str(include_str!("fixtures/gbnf.json")).unwrap();
    for grammar in texts(&fixture["wrong"]) {
        let error = compiler.compile(&gbnf(grammar)).unwrap_err();
        assert!(matches!(error, GrammarError::Source { kind: "GBNF grammar", .. }), "{grammar:?}: {error:?}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let compiler = bytes();
    let says = |grammar: &str, words: &[&str]| {
        let error = compiler.compile(&gbnf(grammar)).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{grammar:?}: {error}"));
    };
    says("root ::= \"a\"\nroot ::= \"b\"", &["line 2, column 1", "\"root\"", "second time"]);
    says(
        "root ::= item\n\n  # é\nitem ::= \"é\" other",
        &["line 4, column 14", "\"other\"", "nowhere defined"],
    );
    says("a ::= b \"x\"\nb ::= \"\" c\nc ::= a | \"y\"\nroot ::= \"z\"", &["begins with itself"]);
    says("root ::= [z-a]", &["line 1, column 13", "ends before it begins"]);
    says("root ::= [^\\x00-\\U0010FFFF]", &["no character"]);
    says("root ::= \"\\uD800\"", &["4 hexadecimal digits of a character"]);
    says("root ::= \"a\"{3,2}", &["less than at least 3"]);
    says("root ::= \"a\"{2001}", &["2000"]);
    says("root ::= under_score", &["_"]);
    says("root ::= <no-such-token>", &["<no-such-token>", "<[id]>"]);
    says("root ::= <[100000]>", &["100000", "ids go from 0"]);
    says(&format!("root ::= {}\"a\"{}", "(".repeat(101), ")".repeat(101)), &["100 deep"]);
}

#[test]
fn tokens_are_taken_by_name_or_id() {
    let compiler = bytes();
    let mut mask = TokenMask::none(300);
    for text in ["root ::= <think> \"a\"", "root ::= <[257]> \"a\""] {
        let mut grammar = compiler.compile(&gbnf(text)).unwrap();
        grammar.mask(&mut mask).unwrap();
        assert_eq!(mask.tokens().collect::<Vec<_>>(), [THINK]);
        grammar.accept(THINK).unwrap();
        grammar.accept(u32::from(b'a')).unwrap();
        assert!(grammar.is_complete());
    }
    let mut others = compiler.compile(&gbnf("root ::= !<think>* <think>")).unwrap();
    for token in [97, 256 + 2, 200] {
        others.mask(&mut mask).unwrap();
        assert!(mask.allows(THINK) && mask.allows(token) && !mask.allows(common::END));
        // All but the end, the byte that no text has, and the two ids that stand for nothing.
        assert_eq!(mask.count(), compiler.vocabulary().len() - 4);
        others.accept(token).unwrap();
    }
    others.accept(THINK).unwrap();
    assert!(others.is_complete());
}

#[test]
fn walks_stay_in_the_grammar() {
    let compiler = bytes();
    let mut random = Random(3);
    let fixture: Value = serde_json::from_str(include_str!("fixtures/gbnf.json")).unwrap();
    for case in fixture["grammars"].as_array().unwrap() {
        let source = gbnf(case["grammar"].as_str().unwrap());
        let grammar = compiler.compile(&source).unwrap();
        for _ in 0..10 {
            let Walk::Ended(text) = walk(&compiler, grammar.clone(), &mut random, 60) else { continue };
            let text = String::from_utf8(text).expect("walks are text");
            assert!(takes(&compiler, &source, &text), "{}: {text:?}", case["name"]);
        }
    }
}

#[test]
fn huge_and_strange_grammars_are_bounded() {
    let compiler = bytes();
    // Written out, this has 2^40 characters; as rules it is small, and stays rules.
    let mut doubling = String::from("root ::= r40 \"!\"\nr0 ::= \"a\" | \"b\"\n");
    (1..=40).for_each(|n| doubling.push_str(&format!("r{n} ::= r{0} r{0}\n", n - 1)));
    compiler.compile(&gbnf(&doubling)).unwrap();
    let chain: String = (0..300).map(|n| format!("r{n} ::= \"(\" r{} \")\" | \"x\"\n", n + 1)).collect();
    let outcome = compiler.compile(&gbnf(&format!("root ::= r0\n{chain}r300 ::= \"y\"")));
    assert!(!matches!(outcome, Err(GrammarError::Failed(_))), "{outcome:?}");
    let wide: String = (0..300).map(|n| format!("| \"w{n}\" root ")).collect();
    let outcome = compiler.compile(&gbnf(&format!("root ::= \"end\" {wide}")));
    assert!(!matches!(outcome, Err(GrammarError::Failed(_))), "{outcome:?}");
    let repeated = compiler.compile(&gbnf("root ::= ((([a-z]{1000}){1000}){1000} \"x\" | \"y\" root)"));
    assert!(!matches!(repeated, Err(GrammarError::Failed(_))), "{repeated:?}");
    let large = compiler.compile(&gbnf(&"# a comment\n".repeat(100_000)));
    assert!(matches!(large, Err(GrammarError::TooLarge { .. })));
}
