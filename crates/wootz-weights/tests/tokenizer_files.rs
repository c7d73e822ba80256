//! `tokenizer.json` files of every kind do what the `tokenizers` Python package does with them
//! (`scripts/fixtures/tokenizer_files.py` made the expectations).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wootz_weights::Checkpoint;
use wootz_weights::gguf::{Array, Metadata, Strings, Value as Entry};
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer, TokenizerError};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers")
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn every_kind_agrees_with_python() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    let texts = expected["texts"].as_array().unwrap();
    let mut reports = Vec::new();
    for (folder, results) in expected["folders"].as_object().unwrap() {
        let tokenizer = Tokenizer::from_folder(fixtures().join(folder)).unwrap();
        for (text, result) in texts.iter().zip(results.as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let plain = tokenizer.encode(text, Special::Parse, AddBos::Never).unwrap();
            let surrounded = tokenizer.encode(text, Special::Parse, AddBos::AsModel).unwrap();
            let decoded = tokenizer.decode(&plain).unwrap();
            if plain != ids(&result["ids"])
                || surrounded != ids(&result["surrounded"])
                || decoded != result["decoded"]
            {
                reports.push(format!("{folder} {text:?}\n  expected {result}\n  got {plain:?} {decoded:?}"));
            }
        }
    }
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

/// A folder with a byte-level tokenizer, changed by `edit`, and the given companions.
fn changed(edit: impl FnOnce(&mut Value), companions: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut file: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("byte_level/tokenizer.json")).unwrap())
            .unwrap();
    edit(&mut file);
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    for (name, value) in companions {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

#[test]
fn companions_say_which_tokens_begin_and_end() {
    let load = |companions: &[(&str, Value)]| {
        let folder = changed(|_| {}, companions);
        Tokenizer::from_folder(folder.path()).unwrap()
    };
    let bare = load(&[]);
    // Without companions the names decide: `</s>` and `<|im_end|>` end generations.
    assert_eq!((bare.bos(), bare.eos(), bare.eos_ids()), (None, None, &[2, 4][..]));
    assert_eq!(bare.surroundings(), (&[1][..], &[2][..]));
    let config = json!({"bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>", "add_bos_token": false});
    let configured = load(&[
        ("tokenizer_config.json", config),
        ("generation_config.json", json!({"eos_token_id": [2, 100]})),
    ]);
    assert_eq!((configured.bos(), configured.eos()), (Some(1), Some(4)));
    assert_eq!(configured.eos_ids(), [2, 4, 100]);
    assert_eq!(configured.surroundings(), (&[][..], &[2][..]));
    let ends = json!({"add_bos_token": true, "add_eos_token": true});
    let map = json!({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"});
    let mapped = load(&[("tokenizer_config.json", ends), ("special_tokens_map.json", map)]);
    assert_eq!(mapped.surroundings(), (&[3, 1][..], &[2, 4][..]));
    let ids = load(&[("config.json", json!({"bos_token_id": 1, "eos_token_id": 2}))]);
    assert_eq!((ids.bos(), ids.eos()), (Some(1), Some(2)));
}

#[test]
fn damaged_files_are_refused_by_name() {
    let refuse = |edit: &dyn Fn(&mut Value)| {
        let folder = changed(edit, &[]);
        Tokenizer::from_folder(folder.path()).unwrap_err().to_string()
    };
    type Edit = (&'static str, fn(&mut Value));
    let edits: [Edit; 9] = [
        ("tokenizer.json", |file| *file = json!([])),
        ("CharBPE", |file| file["model"] = json!({"type": "CharBPE"})),
        ("CTC", |file| file["decoder"] = json!({"type": "CTC"})),
        ("Strange", |file| file["normalizer"] = json!({"type": "Strange"})),
        ("Strange", |file| file["pre_tokenizer"] = json!({"type": "Strange"})),
        ("FixedLength", |file| file["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0})),
        ("special_tokens", |file| file["post_processor"]["special_tokens"] = json!({})),
        ("4294967295", |file| file["added_tokens"][0]["id"] = json!(u32::MAX)),
        ("character map", |file| {
            file["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "CAAAAAAAAAA="});
        }),
    ];
    for (expected, edit) in edits {
        let message = refuse(&edit);
        let named = message.contains(expected) || message.contains("pieces of length 0");
        assert!(named, "{expected}: {message}");
        assert!(message.contains("tokenizer.json"), "{message}");
    }
    let missing = Tokenizer::from_folder(fixtures()).unwrap_err();
    assert!(matches!(missing, TokenizerError::Weights(_)) && missing.to_string().contains("tokenizer.json"));
}

#[test]
fn absurd_merges_are_left_out() {
    let folder = changed(
        |file| {
            let merges = file["model"]["merges"].as_array_mut().unwrap();
            merges.insert(0, json!(["no such token", "x".repeat(1000)]));
            merges.insert(0, json!("lonely"));
            merges.insert(0, json!(["", ""]));
        },
        &[],
    );
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    let original = Tokenizer::from_folder(fixtures().join("byte_level")).unwrap();
    let text = "Hello world, it is the same.";
    let encode = |tokenizer: &Tokenizer| tokenizer.encode(text, Special::Plain, AddBos::Never).unwrap();
    assert_eq!(encode(&tokenizer), encode(&original));
}

#[test]
fn the_two_formats_of_one_model_agree() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/text");
    if !models.exists() || !texts.exists() {
        println!("skipped: {} is not there", models.display());
        return;
    }
    let load =
        |name: &str| Tokenizer::from_checkpoint(&Checkpoint::open(models.join(name)).unwrap()).unwrap();
    let (gguf, folder) = (load("tales-46m.Q4_K_M.gguf"), load("tales-46m"));
    assert_eq!(gguf.eos_ids(), folder.eos_ids());
    assert_eq!(gguf.surroundings(), folder.surroundings());
    assert_eq!(gguf.vocab_size(), folder.vocab_size());
    for id in 0..gguf.vocab_size() as u32 {
        assert_eq!(gguf.token_text(id), folder.token_text(id));
        assert_eq!(gguf.token_kind(id), folder.token_kind(id));
    }
    let mixed = "<|im_start|>user\nnaïve 你好 🙂  12345\n\n\t<|im_end|>".to_owned();
    let wiki = std::fs::read_to_string(texts.join("wikitext-2.valid.txt")).unwrap();
    let part: String = wiki.chars().take(200_000).collect();
    for text in [&mixed, &part] {
        for special in [Special::Parse, Special::Plain] {
            let ids = gguf.encode(text, special, AddBos::AsModel).unwrap();
            assert_eq!(ids, folder.encode(text, special, AddBos::AsModel).unwrap());
        }
    }
}

/// The same vocabulary as GGUF metadata: texts, scores and kinds by id, as converters write them.
fn metadata(folder: &str, model: &str, spell: impl Fn(&str, bool) -> String) -> Metadata {
    let path = fixtures().join(folder).join("tokenizer.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut tokens: Vec<(u64, String, f32)> = match &file["model"]["vocab"] {
        Value::Array(pieces) => (0..)
            .zip(pieces)
            .map(|(id, piece)| (id, piece[0].as_str().unwrap().to_owned(), piece[1].as_f64().unwrap() as f32))
            .collect(),
        words => words
            .as_object()
            .unwrap()
            .iter()
            .map(|(text, id)| (id.as_u64().unwrap(), text.clone(), 0.0))
            .collect(),
    };
    let added = file["added_tokens"].as_array().unwrap();
    let kind = |text: &str| {
        let token = added.iter().find(|token| token["content"] == text);
        match token {
            Some(_) if text.to_lowercase().contains("unk") => 2,
            Some(token) if token["special"] == true => 3,
            Some(_) => 4,
            None => 1,
        }
    };
    for token in added {
        let (id, text) = (token["id"].as_u64().unwrap(), token["content"].as_str().unwrap());
        if tokens.iter().all(|(known, ..)| *known != id) {
            tokens.push((id, text.to_owned(), 0.0));
        }
    }
    tokens.sort_by_key(|(id, ..)| *id);
    let mut metadata = Metadata::new("converted.gguf");
    let kinds = tokens.iter().map(|(_, text, _)| kind(text)).collect::<Vec<i32>>();
    let texts: Strings =
        tokens.iter().zip(&kinds).map(|((_, text, _), kind)| spell(text, *kind == 1)).collect();
    metadata.insert("tokenizer.ggml.model", Entry::String(model.to_owned()));
    metadata.insert("tokenizer.ggml.tokens", Entry::Array(Array::Strings(texts)));
    metadata.insert("tokenizer.ggml.token_type", Entry::Array(Array::I32(kinds)));
    let scores = tokens.iter().map(|(_, _, score)| *score).collect();
    metadata.insert("tokenizer.ggml.scores", Entry::Array(Array::F32(scores)));
    let merges = file["model"]["merges"].as_array().map(Vec::as_slice).unwrap_or_default();
    let merges =
        merges.iter().map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    metadata.insert("tokenizer.ggml.merges", Entry::Array(Array::Strings(merges.collect())));
    metadata
}

/// Compares a vocabulary from GGUF with the same from `tokenizer.json`.
fn compare(folder: &str, converted: &Metadata, add: AddBos, fits: impl Fn(&str) -> bool) {
    let from_gguf = Tokenizer::from_metadata(converted).unwrap();
    let from_json = Tokenizer::from_folder(fixtures().join(folder)).unwrap();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    let texts = expected["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    for text in texts.filter(|text| fits(text)) {
        let ids = from_gguf.encode(text, Special::Parse, add).unwrap();
        assert_eq!(ids, from_json.encode(text, Special::Parse, add).unwrap(), "{folder} {text:?}");
        assert_eq!(from_gguf.decode(&ids).unwrap(), from_json.decode(&ids).unwrap(), "{folder} {text:?}");
    }
}

#[test]
fn gguf_vocabularies_of_every_kind_agree_with_their_originals() {
    let mut byte_level = metadata("byte_level", "gpt2", |text, _| text.to_owned());
    byte_level.insert("tokenizer.ggml.pre", Entry::String("dbrx".to_owned()));
    // GGUF cannot say that a token swallows the spaces after it.
    compare("byte_level", &byte_level, AddBos::Never, |text| !text.contains("<tool> "));

    let mut word_piece = metadata("word_piece", "bert", |text, normal| match text.strip_prefix("##") {
        Some(rest) => rest.to_owned(),
        None if normal => format!("▁{text}"),
        None => text.to_owned(),
    });
    for (role, id) in [("cls", 2), ("seperator", 3), ("unknown", 1)] {
        word_piece.insert(format!("tokenizer.ggml.{role}_token_id"), Entry::U32(id));
    }
    compare("word_piece", &word_piece, AddBos::AsModel, |_| true);

    let mut unigram = metadata("unigram", "t5", |text, _| text.to_owned());
    unigram.insert("tokenizer.ggml.remove_extra_whitespaces", Entry::Bool(false));
    unigram.insert("tokenizer.ggml.unknown_token_id", Entry::U32(0));
    // Without a character map there is no NFKC, and the fixture's rule for spaces is its own.
    compare("unigram", &unigram, AddBos::Never, |text| {
        text.is_ascii() && !text.contains("  ") && text.trim() == text
    });
    let tokenizer = Tokenizer::from_metadata(&unigram).unwrap();
    assert_eq!(
        tokenizer.decode(&tokenizer.encode("a b", Special::Plain, AddBos::Never).unwrap()).unwrap(),
        "a b"
    );
}
