//! Every kind of source takes what it should and nothing else.

mod common;

use common::{END, THINK, bytes, takes};
use serde_json::json;
use wootz_grammar::{GrammarError, GrammarSource, TokenMask, check_strict};

#[test]
fn a_regular_expression_matches_the_whole() {
    let compiler = bytes();
    let regex = |text: &str| GrammarSource::Regex(text.to_owned());
    assert!(takes(&compiler, &regex("[a-c]{2,3}/\\d"), "abc/7"));
    assert!(!takes(&compiler, &regex("[a-c]{2,3}"), "abca"));
    assert!(!takes(&compiler, &regex("[a-c]{2,3}"), "a"));
    assert!(takes(&compiler, &regex("^(yes|no)$"), "no"));
    assert!(takes(&compiler, &regex("^a\\$"), "a$"));
    assert!(takes(&compiler, &regex("(?i)é+"), "éÉ"));
    assert!(takes(&compiler, &regex("a*"), ""));
    for wrong in ["", "^$", "a\\", "(", "[", "a{3,2}", "\\1", "(?=a)b", "a(?<!b)"] {
        let error = compiler.compile(&regex(wrong)).unwrap_err();
        assert!(
            matches!(error, GrammarError::Source { kind: "regular expression", .. }),
            "{wrong}: {error:?}"
        );
    }
}

#[test]
fn choices_are_taken_as_they_stand() {
    let compiler = bytes();
    let choices = |list: &[&str]| GrammarSource::Choice(list.iter().map(|text| (*text).to_owned()).collect());
    let list = ["ab", "abc", "a\"\\\n\u{1}\u{7f}/é", "日本語"];
    for text in list {
        assert!(takes(&compiler, &choices(&list), text), "{text:?}");
    }
    for text in ["", "a", "abcd", "日本"] {
        assert!(!takes(&compiler, &choices(&list), text), "{text:?}");
    }
    assert!(takes(&compiler, &choices(&["", "x"]), ""));
    assert!(takes(&compiler, &choices(&["", "x"]), "x"));
    assert!(compiler.compile(&choices(&[])).is_err());
    assert!(compiler.compile(&choices(&[""])).is_err());
}

#[test]
fn lark_with_recursion_and_marks() {
    let compiler = bytes();
    let lark = |text: &str| GrammarSource::Lark(text.to_owned());
    let nested = lark("start: \"(\" start \")\" | /[0-9]+/");
    assert!(takes(&compiler, &nested, "((12))"));
    assert!(!takes(&compiler, &nested, "((12)"));
    let mut marked = compiler.compile(&lark("start: <think> \"ab\"")).unwrap();
    let mut mask = TokenMask::none(300);
    marked.mask(&mut mask).unwrap();
    assert_eq!(mask.tokens().collect::<Vec<_>>(), [THINK]);
    marked.accept(THINK).unwrap();
    marked.mask(&mut mask).unwrap();
    assert!(mask.allows(u32::from(b'a')) && !mask.allows(THINK) && !mask.allows(END));
    let error = compiler.compile(&lark("start: \"a\"\n  | nothing\n")).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    let error = compiler.compile(&lark("start: \"a\n")).unwrap_err();
    assert!(error.to_string().contains("1("), "{error}");
    assert!(compiler.compile(&lark(" \n")).is_err());
    assert!(compiler.compile(&lark("start: <no_such_mark>")).is_err());
}

#[test]
fn a_composed_grammar_follows_its_parts() {
    let compiler = bytes();
    let parts = |list: &[(&str, GrammarSource)]| {
        list.iter().map(|(name, part)| ((*name).to_owned(), part.clone())).collect::<Vec<_>>()
    };
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    let sources = [
        (GrammarSource::JsonSchema(schema), "{\"a\": 12}", "{\"b\": 12}"),
        (GrammarSource::JsonObject, "{}", "[]"),
        (GrammarSource::Regex("[a-c]+/d".to_owned()), "abc/d", "abc/"),
        (GrammarSource::Choice(vec!["one".to_owned(), "two".to_owned()]), "two", "three"),
        (GrammarSource::Gbnf("root ::= \"(\" root \")\" | \"x\"".to_owned()), "((x))", "((x)"),
        (GrammarSource::Lark("start: /[0-9]+/".to_owned()), "12", "a"),
    ];
    for (part, yes, no) in sources {
        let lark = "start: \"call \" /[a-z]+/ \";\" | \"head:\" @form \";\"?".to_owned();
        let source = GrammarSource::Composed { lark, parts: parts(&[("form", part)]) };
        for text in [format!("head:{yes};"), format!("head:{yes}"), "call f;".to_owned()] {
            assert!(takes(&compiler, &source, &text), "{source:?}: {text}");
        }
        for text in [format!("head:{no}"), yes.to_owned(), "call f".to_owned(), format!("head:{yes};;")] {
            assert!(!takes(&compiler, &source, &text), "{source:?}: {text}");
        }
    }
    let unknown = GrammarSource::Composed { lark: "start: @other".to_owned(), parts: Vec::new() };
    assert!(compiler.compile(&unknown).is_err());
}

#[test]
fn the_object_mode_takes_objects() {
    let compiler = bytes();
    for text in ["{}", "{\"a\": [1, 2.5e3, null, true, \"\\n\\u0007é\"]}", "{ \"日本\" : { } }"] {
        assert!(takes(&compiler, &GrammarSource::JsonObject, text), "{text}");
    }
    for text in ["[]", "1", "{a: 1}", "{\"a\": 1,}", "{\"a\": 01}", "{} {}", "{\"a\":\n\"b\nc\"}"] {
        assert!(!takes(&compiler, &GrammarSource::JsonObject, text), "{text}");
    }
    let endless = format!("{{{}}}", " ".repeat(65));
    assert!(!takes(&compiler, &GrammarSource::JsonObject, &endless), "space without end");
}

#[test]
fn what_a_schema_asks_that_cannot_be_enforced_is_named() {
    let compiler = bytes();
    let refused = |schema: serde_json::Value| match compiler.compile(&GrammarSource::JsonSchema(schema)) {
        Ok(_) => panic!("taken"),
        Err(GrammarError::Schema { pointer, problem }) => (pointer, problem),
        Err(other) => (String::new(), other.to_string()),
    };
    let (pointer, problem) =
        refused(json!({"type": "object", "properties": {"a/b": {"type": "array", "uniqueItems": true}}}));
    assert_eq!(pointer, "#/properties/a~1b");
    assert!(problem.contains("uniqueItems"), "{problem}");
    let (pointer, problem) = refused(json!({"$defs": {"x": {"not": {"type": "null"}}}, "$ref": "#/$defs/x"}));
    assert_eq!((pointer.as_str(), problem.contains("\"not\"")), ("#/$defs/x", true));
    let (pointer, _) =
        refused(json!({"type": "array", "items": {"oneOf": [{"minimum": 1}, {"maximum": 9}]}}));
    assert_eq!(pointer, "#/items");
    assert_eq!(refused(json!(false)).0, "#");
    assert_eq!(refused(json!([1])).0, "#");
    let (_, message) = refused(json!({"$ref": "https://example.com/schema.json"}));
    assert!(message.contains("example.com"), "{message}");
    let (_, message) = refused(json!({"type": "integer", "minimum": 5, "maximum": 4}));
    assert!(message.contains('5') && message.contains('4'), "{message}");
    let (_, message) = refused(json!({"type": "text"}));
    assert!(message.contains("text"), "{message}");
}

#[test]
fn strict_schemas_are_objects_that_say_everything() {
    let good = json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"],
        "additionalProperties": false});
    assert_eq!(check_strict(&good), Ok(()));
    let place = |schema| match check_strict(&schema) {
        Err(GrammarError::Schema { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    };
    assert_eq!(place(json!({"type": "array"})), "#");
    assert_eq!(place(json!({"type": "object", "properties": {}})), "#");
    assert_eq!(
        place(json!({"type": "object", "additionalProperties": false, "required": ["a", "b"], "properties":
            {"a": {"type": "array", "items": {"type": "object", "properties": {"x": {}}, "required": ["x"]}},
             "b": {}}})),
        "#/properties/a/items"
    );
    assert_eq!(
        place(
            json!({"type": "object", "additionalProperties": false, "properties": {"x": {}}, "required": []})
        ),
        "#"
    );
}

#[test]
fn a_fork_goes_its_own_way() {
    let compiler = bytes();
    let mut one = compiler.compile(&GrammarSource::Choice(vec!["abc".into(), "abd".into()])).unwrap();
    one.accept(u32::from(b'a')).unwrap();
    one.accept(u32::from(b'b')).unwrap();
    let mut two = one.clone();
    one.accept(u32::from(b'c')).unwrap();
    assert_eq!(two.accept(u32::from(b'x')), Err(GrammarError::Refused { token: u32::from(b'x') }));
    two.accept(u32::from(b'd')).unwrap();
    assert!(one.is_complete() && two.is_complete());
    assert_eq!(one.accept(u32::from(b'c')), Err(GrammarError::Refused { token: u32::from(b'c') }));
    let mut mask = TokenMask::none(300);
    one.mask(&mut mask).unwrap();
    assert_eq!(mask.tokens().collect::<Vec<_>>(), [END]);
}
