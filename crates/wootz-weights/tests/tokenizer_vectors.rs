//! Real vocabularies give the ids that their makers' tokenizers give: 47 strings each, from llama.cpp's `models` folder.

use std::path::{Path, PathBuf};

use wootz_weights::Checkpoint;
use wootz_weights::tokenizer::{AddBos, Special, SpecialText, Tokenizer};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// The strings of a vocabulary, each with the expected ids.
fn vectors(path: &Path) -> Vec<(String, Vec<u32>)> {
    let texts = std::fs::read_to_string(with_suffix(path, ".inp")).unwrap();
    let ids = std::fs::read_to_string(with_suffix(path, ".out")).unwrap();
    let texts: Vec<String> = texts.split("\n__ggml_vocab_test__\n").map(str::to_owned).collect();
    let ids: Vec<Vec<u32>> =
        ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    assert!(texts.len() >= 46 && ids.len() >= 46, "{} strings, {} lines", texts.len(), ids.len());
    texts.into_iter().zip(ids).collect()
}

fn load(path: &Path) -> Tokenizer {
    Tokenizer::from_checkpoint(&Checkpoint::open(path).unwrap()).unwrap()
}

/// Compares all strings, and that each comes back from its ids.
fn check(path: &Path) -> usize {
    let tokenizer = load(path);
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut reports = Vec::new();
    let vectors = vectors(path);
    for (text, expected) in &vectors {
        let got = tokenizer.encode(text, Special::Plain, AddBos::Never).unwrap();
        if got != *expected {
            reports.push(format!("{text:?}\n  expected {expected:?}\n  got      {got:?}"));
        }
        let back = tokenizer.decode(&got).unwrap();
        if back != *text {
            reports.push(format!("{text:?} comes back as {back:?}"));
        }
        let mut stream = tokenizer.decode_stream();
        let mut streamed: String = got.iter().map(|id| stream.push(*id).unwrap()).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, back, "{name}");
    }
    assert!(reports.is_empty(), "{name}: {} differences\n{}", reports.len(), reports.join("\n"));
    vectors.len()
}

#[test]
fn committed_vocabularies_give_the_expected_ids() {
    let folder = here().join("tests/fixtures/vocab");
    for name in ["ggml-vocab-llama-spm.gguf", "ggml-vocab-gpt-2.gguf"] {
        assert!(check(&folder.join(name)) >= 46);
    }
}

#[test]
fn all_vocabularies_give_the_expected_ids() {
    let folder = here().join("../../../shared/data/vocab");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gguf") {
            count += 1;
            if let Err(panic) = std::panic::catch_unwind(|| check(&path)) {
                failures.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
            }
        }
    }
    assert!(count >= 9, "{count} vocabularies");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn special_tokens_are_parsed_or_plain() {
    let tokenizer = load(&here().join("tests/fixtures/vocab/ggml-vocab-llama-spm.gguf"));
    let (bos, eos) = (tokenizer.bos().unwrap(), tokenizer.eos().unwrap());
    assert_eq!((bos, eos, tokenizer.eos_ids()), (1, 2, &[2][..]));
    assert!(tokenizer.is_special(bos) && !tokenizer.is_special(1000));
    let parsed = tokenizer.encode("<s>Hi</s>", Special::Parse, AddBos::Never).unwrap();
    assert_eq!(parsed, [1, 6324, 2]);
    let plain = tokenizer.encode("<s>Hi</s>", Special::Plain, AddBos::Never).unwrap();
    assert!(!plain.contains(&1) && !plain.contains(&2));
    assert_eq!(tokenizer.decode(&plain).unwrap(), "<s>Hi</s>");
    assert_eq!(tokenizer.decode(&parsed).unwrap(), "Hi");
    assert_eq!(tokenizer.decode_with(&parsed, SpecialText::Show).unwrap(), "<s> Hi</s>");
    // Begin tokens: always, once, never.
    let ids = |add| tokenizer.encode("<s>Hi", Special::Parse, add).unwrap();
    assert_eq!(ids(AddBos::AsModel), [1, 1, 6324]);
    assert_eq!(ids(AddBos::IfMissing), [1, 6324]);
    assert_eq!(ids(AddBos::Never), [1, 6324]);
    // A continuation keeps the space of its first word.
    assert_eq!(tokenizer.continue_stream(SpecialText::Hide).push(6324).unwrap(), " Hi");
    assert_eq!(tokenizer.decode_stream().push(6324).unwrap(), "Hi");
    assert_eq!(tokenizer.token_text(6324).unwrap(), "▁Hi");
    assert_eq!(tokenizer.token_bytes(13).unwrap(), b"\n");
    assert!(tokenizer.decode(&[1 << 30]).is_err() && tokenizer.token_bytes(1 << 30).is_none());
}
