//! Random schemas with the tokens of real models: random walks end in values that satisfy the schema, and values that do
//! are taken token by token. What satisfies a schema is decided here, by the shape that the schema was written from.
//!
//! Larger vocabularies lie in `../shared/data/vocab` beside the repository; without them the test says so and passes.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use wootz_grammar::{Grammar, GrammarCompiler, GrammarSource, TokenMask, TokenText, Vocabulary};
use wootz_weights::Checkpoint;
use wootz_weights::tokenizer::{AddBos, Special, TokenKind, Tokenizer};

/// What values may be.
#[derive(Debug, Clone)]
enum Shape {
    Null,
    Boolean,
    Integer { least: i64, most: i64 },
    Number,
    Text { least: usize, most: usize },
    OneOf(Vec<Value>),
    List { item: Box<Shape>, least: usize, most: usize },
    Object(Vec<(String, Shape, Needed)>),
    Either(Box<Shape>, Box<Shape>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Needed {
    Always,
    Sometimes,
}

impl Shape {
    fn schema(&self) -> Value {
        match self {
            Shape::Null => json!({"type": "null"}),
            Shape::Boolean => json!({"type": "boolean"}),
            Shape::Integer { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
            Shape::Number => json!({"type": "number"}),
            Shape::Text { least, most } => json!({"type": "string", "minLength": least, "maxLength": most}),
            Shape::OneOf(values) => json!({"enum": values}),
            Shape::List { item, least, most } => {
                json!({"type": "array", "items": item.schema(), "minItems": least, "maxItems": most})
            }
            Shape::Object(members) => {
                let properties: Map<String, Value> =
                    members.iter().map(|(name, shape, _)| (name.clone(), shape.schema())).collect();
                let needed = members.iter().filter(|(_, _, needed)| *needed == Needed::Always);
                let required: Vec<&String> = needed.map(|(name, ..)| name).collect();
                json!({"type": "object", "properties": properties, "required": required,
                       "additionalProperties": false})
            }
            Shape::Either(one, other) => json!({"anyOf": [one.schema(), other.schema()]}),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Shape::Null, Value::Null)
            | (Shape::Boolean, Value::Bool(_))
            | (Shape::Number, Value::Number(_)) => true,
            (Shape::Integer { least, most }, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| {
                    number.fract() == 0.0 && (*least as f64..=*most as f64).contains(&number)
                })
            }
            (Shape::Text { least, most }, Value::String(text)) => {
                (*least..=*most).contains(&text.chars().count())
            }
            (Shape::OneOf(values), value) => values.contains(value),
            (Shape::List { item, least, most }, Value::Array(items)) => {
                (*least..=*most).contains(&items.len()) && items.iter().all(|value| item.holds(value))
            }
            (Shape::Object(members), Value::Object(values)) => {
                members.iter().all(|(name, shape, needed)| {
                    values.get(name).map_or(*needed == Needed::Sometimes, |value| shape.holds(value))
                }) && values.keys().all(|key| members.iter().any(|(name, ..)| name == key))
            }
            (Shape::Either(one, other), value) => one.holds(value) || other.holds(value),
            _ => false,
        }
    }

    /// A value of this shape.
    fn value(&self, random: &mut Random) -> Value {
        let text = |length: usize, random: &mut Random| -> String {
            (0..length).map(|_| CHARACTERS[random.below(CHARACTERS.len())]).collect()
        };
        match self {
            Shape::Null => Value::Null,
            Shape::Boolean => json!(random.below(2) == 0),
            Shape::Integer { least, most } => json!(least + random.below((most - least + 1) as usize) as i64),
            Shape::Number => json!((random.below(4001) as f64 - 2000.0) / 8.0),
            Shape::Text { least, most } => json!(text(least + random.below(most - least + 1), random)),
            Shape::OneOf(values) => values[random.below(values.len())].clone(),
            Shape::List { item, least, most } => {
                (0..least + random.below(most - least + 1)).map(|_| item.value(random)).collect()
            }
            Shape::Object(members) => {
                let mut values = Map::new();
                for (name, shape, needed) in members {
                    if *needed == Needed::Always || random.below(2) == 0 {
                        values.insert(name.clone(), shape.value(random));
                    }
                }
                Value::Object(values)
            }
            Shape::Either(one, _) if random.below(2) == 0 => one.value(random),
            Shape::Either(_, other) => other.value(random),
        }
    }
}

/// What texts are made of: what JSON escapes, several bytes, and what tokens join.
const CHARACTERS: [char; 16] =
    ['a', 'e', 't', 'T', ' ', ' ', '1', '{', ',', '"', '\\', '\n', '\u{1}', 'é', '日', '🦀'];

fn shapes() -> impl Strategy<Value = Shape> {
    let name = "[a-z]{1,6}|the name|ü\"|日本";
    let bounds = |most: usize| (0..=most, 0..=most).prop_map(|(one, other)| (one.min(other), one.max(other)));
    let leaf = prop_oneof![
        Just(Shape::Null),
        Just(Shape::Boolean),
        (-300i64..300, 0i64..2000).prop_map(|(least, span)| Shape::Integer { least, most: least + span }),
        Just(Shape::Number),
        bounds(8).prop_map(|(least, most)| Shape::Text { least, most }),
        prop::collection::vec(
            prop_oneof![name.prop_map(Value::from), any::<i16>().prop_map(Value::from)],
            1..4
        )
        .prop_map(Shape::OneOf),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let needed = prop_oneof![Just(Needed::Always), Just(Needed::Sometimes)];
        let member = (name, inner.clone(), needed);
        prop_oneof![
            (inner.clone(), bounds(3)).prop_map(|(item, (least, most))| Shape::List {
                item: Box::new(item),
                least,
                most
            }),
            prop::collection::vec(member, 0..4).prop_map(|mut members| {
                members.sort_by(|one, other| one.0.cmp(&other.0));
                members.dedup_by(|one, other| one.0 == other.0);
                Shape::Object(members)
            }),
            (inner.clone(), inner).prop_map(|(one, other)| Shape::Either(Box::new(one), Box::new(other))),
        ]
    })
}

/// Numbers that look random and are always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}

struct Model {
    tokenizer: Tokenizer,
    compiler: GrammarCompiler,
}

impl Model {
    fn open(path: &Path) -> Model {
        let tokenizer = Tokenizer::from_checkpoint(&Checkpoint::open(path).unwrap()).unwrap();
        let tokens = (0..tokenizer.vocab_size() as u32).map(|id| {
            let unused = tokenizer.token_kind(id) == Some(TokenKind::Unused);
            let bytes = if unused { None } else { tokenizer.token_bytes(id) };
            TokenText { bytes: bytes.unwrap_or_default(), special: tokenizer.is_special(id) }
        });
        let vocabulary = Vocabulary::new(tokens, tokenizer.eos_ids()).unwrap();
        let compiler = GrammarCompiler::new(vocabulary).unwrap();
        Model { tokenizer, compiler }
    }

    fn bytes(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|token| self.tokenizer.token_bytes(*token).unwrap_or_default()).collect()
    }

    /// The tokens of a text that other text goes before: tokenizers of SentencePiece put a space before the first.
    fn tokens(&self, text: &str) -> Vec<u32> {
        let encode = |text: &str| self.tokenizer.encode(text, Special::Plain, AddBos::Never).unwrap();
        let before = encode("\n");
        let mut tokens = encode(&format!("\n{text}"));
        if tokens.starts_with(&before) {
            tokens.drain(..before.len());
        } else {
            tokens = encode(text);
        }
        assert_eq!(String::from_utf8_lossy(&self.bytes(&tokens)), text);
        tokens
    }

    /// Whether the grammar takes the text by the tokens that the tokenizer makes of it, and may end after it.
    fn takes(&self, mut grammar: Grammar, text: &str) -> Result<(), String> {
        let mut mask = TokenMask::none(self.compiler.vocabulary().len());
        for token in self.tokens(text) {
            grammar.mask(&mut mask).unwrap();
            if !mask.allows(token) || grammar.accept(token).is_err() {
                return Err(format!("{:?} of {text}", self.tokenizer.token_text(token)));
            }
        }
        if grammar.may_end().unwrap() { Ok(()) } else { Err(format!("the end of {text}")) }
    }

    /// A walk that ends as soon as it may; `None` if that is not soon.
    fn walk(&self, mut grammar: Grammar, random: &mut Random) -> Option<String> {
        let mut mask = TokenMask::none(self.compiler.vocabulary().len());
        let ends = self.tokenizer.eos_ids();
        let mut walked = Vec::new();
        while walked.len() < 300 {
            grammar.mask(&mut mask).unwrap();
            let choices: Vec<u32> = mask.tokens().filter(|token| !ends.contains(token)).collect();
            if choices.is_empty() || (grammar.may_end().unwrap() && random.below(2) == 0) {
                return Some(String::from_utf8(self.bytes(&walked)).expect("walks are text"));
            }
            let token = choices[random.below(choices.len())];
            grammar.accept(token).unwrap();
            walked.push(token);
        }
        None
    }

    fn check(&self, shape: &Shape, seed: u64) -> Result<(), TestCaseError> {
        let schema = shape.schema();
        let grammar = self.compiler.compile(&GrammarSource::JsonSchema(schema.clone()));
        let grammar = grammar.map_err(|error| TestCaseError::fail(format!("{schema}: {error}")))?;
        let mut random = Random(seed);
        let value = shape.value(&mut random);
        prop_assert!(shape.holds(&value), "{schema}: {value}");
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let taken = self.takes(grammar.clone(), &text);
            prop_assert_eq!(taken, Ok(()), "{}", schema);
        }
        if let Some(text) = self.walk(grammar, &mut random) {
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => prop_assert!(shape.holds(&value), "{schema}: {text}"),
                // JSON's numbers have no limit; serde's have.
                Err(error) if error.to_string().contains("out of range") => {}
                Err(error) => prop_assert!(false, "{schema}: {text}: {error}"),
            }
        }
        Ok(())
    }

    fn check_many(&self, cases: u32) {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        runner.run(&(shapes(), any::<u64>()), |(shape, seed)| self.check(&shape, seed)).unwrap();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn random_schemas_with_the_shipped_models_tokens() {
    Model::open(&root().join("models/tales-7m.Q8_0.gguf")).check_many(64);
}

#[test]
fn random_schemas_with_larger_vocabularies() {
    let folder = root().join("../shared/data/vocab");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    for name in ["ggml-vocab-qwen2.gguf", "ggml-vocab-llama-bpe.gguf", "ggml-vocab-llama-spm.gguf"] {
        Model::open(&folder.join(name)).check_many(4);
    }
}
