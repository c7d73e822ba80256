//! What holds for every text and every sequence of tokens, and that no metadata makes the builder panic.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use wootz_weights::Checkpoint;
use wootz_weights::gguf::{Array, Metadata, Strings, Value};
use wootz_weights::tokenizer::{AddBos, Special, SpecialText, Tokenizer};

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let gguf = |name: &str| {
        let checkpoint = Checkpoint::open(fixture("vocab").join(name)).unwrap();
        Tokenizer::from_checkpoint(&checkpoint).unwrap()
    };
    let folder = |name: &str| Tokenizer::from_folder(fixture("tokenizers").join(name)).unwrap();
    vec![
        gguf("ggml-vocab-llama-spm.gguf"),
        gguf("ggml-vocab-gpt-2.gguf"),
        folder("byte_level"),
        folder("byte_fallback"),
    ]
});

/// Random characters, and words of the kind that vocabularies have.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ a-zA-Z0-9'’.,!\n\t\r\u{a0}-\u{24f}\u{3000}-\u{30ff}\u{4e00}-\u{4fff}🙂👩‍]{0,60}",
        "( ?(the|and|it's|<s>|</s>|<|im_end|>|2024|\n\n|   )){0,12}",
    ]
}

proptest! {
    #[test]
    fn a_text_comes_back_from_its_ids(text in texts(), which in 0..4usize) {
        let tokenizer = &TOKENIZERS[which];
        let ids = tokenizer.encode(&text, Special::Plain, AddBos::Never).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        prop_assert!(ids.iter().all(|id| !tokenizer.is_special(*id)));
    }

    #[test]
    fn a_stream_gives_what_the_whole_gives(
        ids in prop::collection::vec(any::<u32>(), 0..40),
        which in 0..4usize,
        show in any::<bool>(),
    ) {
        let tokenizer = &TOKENIZERS[which];
        let size = tokenizer.vocab_size() as u32;
        let ids: Vec<u32> = ids.into_iter().map(|id| id % size.min(600)).collect();
        let special = if show { SpecialText::Show } else { SpecialText::Hide };
        let mut stream = tokenizer.decode_stream_with(special);
        let mut text = String::new();
        for id in &ids {
            text.push_str(&stream.push(*id).unwrap());
        }
        text.push_str(&stream.finish());
        prop_assert_eq!(&text, &tokenizer.decode_with(&ids, special).unwrap());
        // The bytes of the tokens, one after the other, are that text, but for the space before the first word.
        let shown = ids.iter().filter(|id| show || !tokenizer.is_special(**id));
        let bytes: Vec<u8> = shown.flat_map(|id| tokenizer.token_bytes(*id).unwrap()).collect();
        let whole = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(whole == text || whole.strip_prefix(' ') == Some(text.as_str()));
    }

    #[test]
    fn plain_text_never_becomes_structure(text in "[<s>|</im_end ]{0,40}") {
        for tokenizer in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text, Special::Plain, AddBos::Never).unwrap();
            prop_assert!(ids.iter().all(|id| !tokenizer.is_special(*id)));
        }
    }

    #[test]
    fn metadata_never_panics(
        model in prop_oneof![Just("gpt2"), Just("llama"), Just("t5"), Just("bert"), Just("gemma4")],
        pre in prop_oneof![Just("default"), Just("llama-bpe"), Just("tekken"), Just("gemma4"), Just("nonsense")],
        tokens in prop::collection::vec("[a-c▁Ġ<>0xF ]{0,4}", 0..30),
        scores in prop::collection::vec(any::<f32>(), 0..32),
        kinds in prop::collection::vec(any::<u8>().prop_map(|kind| kind % 9), 0..32),
        merges in prop::collection::vec("[a-c▁Ġ ]{0,6}", 0..30),
        id in any::<u32>(),
        map in prop::collection::vec(any::<u8>(), 0..64),
        text in texts(),
    ) {
        let mut metadata = Metadata::new("fuzzed.gguf");
        let strings = |values: &[String]| Value::Array(Array::Strings(values.iter().collect::<Strings>()));
        metadata.insert("tokenizer.ggml.model", Value::String(model.to_owned()));
        metadata.insert("tokenizer.ggml.pre", Value::String(pre.to_owned()));
        metadata.insert("tokenizer.ggml.tokens", strings(&tokens));
        metadata.insert("tokenizer.ggml.merges", strings(&merges));
        metadata.insert("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
        let kinds = kinds.into_iter().map(i32::from).collect();
        metadata.insert("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
        metadata.insert("tokenizer.ggml.eos_token_id", Value::U32(id % 40));
        metadata.insert("tokenizer.ggml.unknown_token_id", Value::U32(id % 7));
        if id % 3 == 0 {
            metadata.insert("tokenizer.ggml.precompiled_charsmap", Value::Array(Array::U8(map)));
        }
        if let Ok(tokenizer) = Tokenizer::from_metadata(&metadata)
            && let Ok(ids) = tokenizer.encode(&text, Special::Parse, AddBos::AsModel)
        {
            tokenizer.decode(&ids).unwrap();
        }
    }
}

#[test]
fn a_half_character_waits_and_a_broken_one_is_replaced() {
    let tokenizer = &TOKENIZERS[2];
    let bytes = tokenizer.encode("日🙂", Special::Plain, AddBos::Never).unwrap();
    assert!(bytes.len() > 3, "spelt in bytes");
    let mut stream = tokenizer.decode_stream();
    let parts: Vec<String> = bytes.iter().map(|id| stream.push(*id).unwrap()).collect();
    assert!(parts.iter().all(|part| part.is_empty() || part == "日" || part == "🙂"), "{parts:?}");
    assert_eq!(parts.concat(), "日🙂");
    assert_eq!(stream.finish(), "");
    let letter = tokenizer.encode("a", Special::Plain, AddBos::Never).unwrap()[0];
    let mut stream = tokenizer.decode_stream();
    assert_eq!(stream.push(bytes[0]).unwrap(), "");
    assert_eq!(stream.push(letter).unwrap(), "\u{fffd}a");
    assert_eq!(stream.push(bytes[0]).unwrap(), "");
    assert_eq!((stream.finish(), stream.finish()), ("\u{fffd}".to_owned(), String::new()));
}

#[test]
fn unknown_kinds_are_refused_with_what_is_known() {
    let mut metadata = Metadata::new("some.gguf");
    metadata.insert("tokenizer.ggml.model", Value::String("rwkv".to_owned()));
    metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::Strings(["a"].iter().collect())));
    let message = Tokenizer::from_metadata(&metadata).unwrap_err().to_string();
    assert!(
        message.contains("rwkv") && message.contains("gpt2") && message.contains("some.gguf"),
        "{message}"
    );
    let mut metadata = Metadata::new("some.gguf");
    metadata.insert("tokenizer.ggml.model", Value::String("none".to_owned()));
    let ids_only = Tokenizer::from_metadata(&metadata).unwrap();
    let message = ids_only.encode("a", Special::Plain, AddBos::Never).unwrap_err().to_string();
    assert!(message.contains("no tokenizer"), "{message}");
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        which in 0..4usize,
        places in prop::collection::vec((any::<u32>(), any::<u8>()), 1..4),
        text in texts(),
    ) {
        let name = ["byte_level", "byte_fallback", "unigram", "word_piece"][which];
        let mut bytes = std::fs::read(fixture("tokenizers").join(name).join("tokenizer.json")).unwrap();
        for (place, byte) in places {
            // Most damage is done at the ends: the head holds the settings, the tail the model.
            let place = if place % 2 == 0 { place as usize % bytes.len() } else { place as usize % 1500 };
            bytes[place] = if byte < 128 { b"0123456789{}[],:\"-ntf"[usize::from(byte) % 21] } else { byte & 127 };
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), bytes).unwrap();
        if let Ok(tokenizer) = Tokenizer::from_folder(folder.path())
            && let Ok(ids) = tokenizer.encode(&text, Special::Parse, AddBos::AsModel)
        {
            tokenizer.decode(&ids).unwrap();
        }
    }
}
