//! How long grammars take: compilation, and the mask of each step of a random walk.
//!
//! `cargo run --release -p wootz-grammar --example masks -- VOCABULARY.json [WALKS]`, where the vocabulary is a
//! Hugging Face `tokenizer.json` with byte-level tokens.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wootz_grammar::{GrammarCompiler, GrammarSource, TokenMask, TokenText, Vocabulary};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which tokenizer.json?")?;
    let walks: usize = arguments.next().map_or(Ok(20), |count| count.parse())?;
    let (tokens, ends) = tokens(&serde_json::from_str(&std::fs::read_to_string(path)?)?)?;
    let start = Instant::now();
    let vocabulary = Vocabulary::new(tokens.into_iter(), &ends)?;
    let compiler = GrammarCompiler::new(vocabulary)?;
    println!("{} tokens prepared in {:.0?}", compiler.vocabulary().len(), start.elapsed());
    println!("{:<24}{:>12}{:>14}{:>14}{:>10}", "grammar", "compile", "mask, mean", "mask, worst", "masks");
    for (name, source) in sources() {
        let start = Instant::now();
        let grammar = compiler.compile(&source).map_err(|error| format!("{name}: {error}"))?;
        let compiled = start.elapsed();
        let (mut total, mut worst, mut count, mut seed) = (Duration::ZERO, Duration::ZERO, 0u32, 1u64);
        let mut mask = TokenMask::none(compiler.vocabulary().len());
        for _ in 0..walks {
            let mut grammar = grammar.clone();
            for _ in 0..100 {
                let start = Instant::now();
                grammar.mask(&mut mask)?;
                let took = start.elapsed();
                (total, worst, count) = (total + took, worst.max(took), count + 1);
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let place = (seed >> 33) as usize % mask.count();
                let token = mask.tokens().nth(place).ok_or("an empty mask")?;
                grammar.accept(token)?;
                if grammar.is_complete() {
                    break;
                }
            }
        }
        println!("{name:<24}{compiled:>12.1?}{:>14.1?}{worst:>14.1?}{count:>10}", total / count.max(1));
    }
    Ok(())
}

fn sources() -> Vec<(&'static str, GrammarSource)> {
    let person = json!({"type": "object", "additionalProperties": false, "required": ["name", "age", "tags"],
        "properties": {"name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}},
            "address": {"type": "object", "properties": {"street": {"type": "string"}}}}});
    let json = "root ::= value\nvalue ::= ( object | array | text | number | \"true\" | \"false\" | \"null\" ) gap\n\
        object ::= \"{\" gap ( pair ( \",\" gap pair )* )? \"}\"\npair ::= text gap \":\" gap value\n\
        array ::= \"[\" gap ( value ( \",\" gap value )* )? \"]\"\n\
        text ::= \"\\\"\" ( [^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\/bfnrt] )* \"\\\"\"\n\
        number ::= \"-\"? [0-9]+\ngap ::= ( \" \" | \"\\n\" [ \\t]{0,20} )?\n";
    let split = "root ::= \"(\" root \")\" | name tail\nname ::= [^()]+\ntail ::= \"x\" | \"1\" name\n";
    vec![
        ("JSON object", GrammarSource::JsonObject),
        ("JSON schema", GrammarSource::JsonSchema(person)),
        (
            "regular expression",
            GrammarSource::Regex(r"(\+\d{1,3} )?\(?\d{3}\)?[ -]\d{3}-\d{4}( x\d{1,5})?".into()),
        ),
        ("any text in quotes", GrammarSource::Regex("\"[^\"]{1,200}\"".into())),
        ("choices", GrammarSource::Choice(vec!["yes".into(), "no".into(), "perhaps".into()])),
        ("Lark", GrammarSource::Lark("start: e\ne: e \"+\" t | t\nt: \"(\" e \")\" | /[0-9]+/".into())),
        ("GBNF: JSON", GrammarSource::Gbnf(json.into())),
        ("GBNF: by characters", GrammarSource::Gbnf(split.into())),
    ]
}

/// The tokens of a `tokenizer.json` and those of them that end an answer.
fn tokens(file: &Value) -> Result<(Vec<TokenText>, Vec<u32>), Box<dyn Error>> {
    let visible = visible_bytes();
    let mut tokens = Vec::new();
    let mut set = |id: &Value, token: TokenText| {
        let id = id.as_u64().unwrap_or(0) as usize;
        if tokens.len() <= id {
            tokens.resize(id + 1, TokenText { bytes: Vec::new(), special: false });
        }
        tokens[id] = token;
    };
    for (text, id) in file["model"]["vocab"].as_object().ok_or("no vocabulary by name")? {
        let byte = |c: char| visible.iter().position(|shown| *shown == c).map(|byte| byte as u8);
        let bytes = text.chars().map(byte).collect::<Option<Vec<u8>>>();
        set(id, TokenText { bytes: bytes.unwrap_or_else(|| text.clone().into_bytes()), special: false });
    }
    let mut ends = Vec::new();
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        let text = added["content"].as_str().unwrap_or_default();
        if ["<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>", "<|return|>"].contains(&text) {
            ends.extend(added["id"].as_u64().map(|id| id as u32));
        }
        set(&added["id"], TokenText { bytes: text.as_bytes().to_vec(), special: added["special"] == true });
    }
    Ok((tokens, ends))
}

/// The character that stands for each byte in byte-level vocabularies (GPT-2's).
fn visible_bytes() -> Vec<char> {
    let plain = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 256;
    (0..256)
        .map(|byte| {
            let code = if plain(byte) { byte } else { next };
            next += u32::from(!plain(byte));
            char::from_u32(code).unwrap_or(' ')
        })
        .collect()
}
