//! Hugging Face folders: what is read from good ones, and what is said about damaged ones.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wootz_weights::safetensors::{Header, parse_index};
use wootz_weights::{Checkpoint, CheckpointFormat, TensorType, WeightsError};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/folder")
}

/// A copy of the fixture's folder to damage.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn complaint(path: &Path) -> String {
    Checkpoint::open(path).map(|_| ()).unwrap_err().to_string()
}

fn shard() -> Vec<u8> {
    std::fs::read(fixture().join("model-00002-of-00002.safetensors")).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Header, WeightsError> {
    Header::parse(Path::new("made.safetensors"), bytes)
}

/// A file whose header is `json`, and `data` zero bytes.
fn made(json: &str, data: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

#[test]
fn shards_open_as_one_model() {
    let checkpoint = Checkpoint::open(fixture()).unwrap();
    assert_eq!(checkpoint.format(), CheckpointFormat::HuggingFace);
    assert_eq!(checkpoint.folder(), Some(fixture().as_path()));
    assert!(checkpoint.gguf_metadata().is_none());
    assert_eq!(checkpoint.config().unwrap()["hidden_size"], 16);
    let table = checkpoint.require("model.embed_tokens.weight").unwrap();
    assert_eq!((table.kind, table.shape.as_slice()), (TensorType::F32, &[4, 16][..]));
    assert_eq!(table.to_f32(), (0..64).map(|i| i as f32).collect::<Vec<_>>());
    let norm = checkpoint.require("model.norm.weight").unwrap();
    assert_eq!((norm.kind, norm.rows(), norm.columns()), (TensorType::F16, 1, 16));
    assert_eq!(checkpoint.require("ids").unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn an_unreadable_dtype_is_an_error_only_when_needed() {
    let checkpoint = Checkpoint::open(fixture()).unwrap();
    assert!(checkpoint.tensor("unreadable").is_none());
    let message = checkpoint.require("unreadable").unwrap_err().to_string();
    assert!(message.contains("tensor unreadable has the type U16, which is not supported"), "{message}");
    assert!(message.contains("model-00002-of-00002.safetensors") && message.contains("BF16"), "{message}");
}

#[test]
fn an_unknown_quantisation_is_named() {
    for (config, method) in [
        (r#"{"quantization_config": {"quant_method": "gptq"}}"#, "gptq"),
        (r#"{"quantization_config": 7}"#, "a method without a name"),
        (r#"{"quantization": {"bits": 4}}"#, "MLX"),
    ] {
        let folder = copy();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert!(checkpoint.require("model.norm.weight").is_ok());
        let message = checkpoint.require("model.layers.0.mlp.up_proj.weight").unwrap_err().to_string();
        assert!(message.contains(&format!("quantised by {method}, which is not supported")), "{message}");
    }
}

#[test]
fn missing_files_are_named() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert!(complaint(folder.path()).contains("model-00002-of-00002.safetensors"));
    std::fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    let message = complaint(folder.path());
    assert!(
        message.contains("a folder without model.safetensors or model.safetensors.index.json"),
        "{message}"
    );
    std::fs::write(folder.path().join("pytorch_model.bin"), b"PK").unwrap();
    assert!(complaint(folder.path()).contains("weights in PyTorch's format"), "{}", complaint(folder.path()));
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join("model.gguf"), b"GGUF").unwrap();
    let message = complaint(folder.path());
    assert!(message.contains("a folder without config.json") && message.contains("model.gguf"), "{message}");
}

#[test]
fn a_file_that_is_no_model_says_what_to_pass() {
    let message = complaint(&fixture().join("model-00001-of-00002.safetensors"));
    assert!(message.contains("a lone safetensors file; expected its folder"), "{message}");
    let message = complaint(&fixture().join("config.json"));
    assert!(message.contains("expected a .gguf file"), "{message}");
    assert!(complaint(Path::new("absent.gguf")).contains("cannot open absent.gguf"));
}

#[test]
fn shards_never_leave_the_folder() {
    for name in
        ["../x.safetensors", "/x.safetensors", "a/x.safetensors", "..", ".", "", "a\\x.safetensors", "x.bin"]
    {
        let index = serde_json::json!({ "weight_map": { "w": name } }).to_string();
        let message = parse_index(Path::new("i.json"), index.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("tensor w") && message.contains("in the same folder"), "{name}: {message}");
    }
    let good = r#"{"weight_map": {"w": "model-1.safetensors"}}"#;
    assert_eq!(parse_index(Path::new("i.json"), good.as_bytes()).unwrap()["w"], "model-1.safetensors");
    assert!(parse_index(Path::new("i.json"), b"[]").unwrap_err().to_string().contains("weight_map"));
}

#[test]
fn an_index_that_promises_too_much_is_refused() {
    let folder = copy();
    let path = folder.path().join("model.safetensors.index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["weight_map"]["ghost"] = "model-00001-of-00002.safetensors".into();
    std::fs::write(&path, index.to_string()).unwrap();
    let message = complaint(folder.path());
    assert!(
        message.contains("tensor ghost: found it absent from model-00001-of-00002.safetensors"),
        "{message}"
    );
}

#[test]
fn damage_is_named() {
    let says = |file: &[u8], expected: &str| {
        let message = parse(file).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("made.safetensors") && message.contains(expected), "{message}");
    };
    says(&u64::MAX.to_le_bytes(), "truncated or damaged: header needs 18446744073709551615 bytes");
    says(&made("[]", 0), "invalid JSON");
    let one = |shape: &str, offsets: &str| {
        made(&format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#), 16)
    };
    assert!(parse(&one("[4]", "[0,16]")).is_ok());
    says(&one("[5]", "[0,16]"), "tensor w: found 16 bytes for the shape [5] of F32; expected 20");
    says(&one("[4]", "[4,20]"), "tensor w needs 16 bytes");
    says(&one(&format!("[{}4]", "1,".repeat(1000)), "[0,16]"), "1001 dimensions; expected at most 16");
    says(&one("[4]", "[16,0]"), "data_offsets [16, 0]");
    says(&one("[4294967296,4294967296,4]", "[0,16]"), "larger than any memory");
    says(&one("[4]", "[18446744073709551600,18446744073709551615]"), "truncated or damaged");
    let two = |a: &str, b: &str| {
        made(
            &format!(
                r#"{{"{a}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"{b}":{{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}}}"#
            ),
            16,
        )
    };
    says(&two("v", "w"), "tensor w: found its bytes");
    let twice = made(
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#,
        16,
    );
    says(&twice, "tensor w: found it twice");
}

#[test]
fn every_truncation_is_an_error() {
    let file = shard();
    for length in 0..file.len() {
        assert!(parse(&file[..length]).is_err(), "{length}");
    }
}

/// Whatever the `safetensors` crate accepts is read the same here.
fn agrees_with_the_crate(file: &[u8]) {
    let Ok(reference) = safetensors::SafeTensors::deserialize(file) else { return };
    let header = parse(file).unwrap();
    assert_eq!(header.tensors.len(), reference.len());
    for tensor in header.tensors {
        let expected = reference.tensor(&tensor.name).unwrap();
        assert_eq!(tensor.shape, expected.shape());
        assert_eq!(&file[tensor.bytes.clone()], expected.data());
    }
}

#[test]
fn good_files_are_read_as_the_crate_reads_them() {
    let file = shard();
    assert!(safetensors::SafeTensors::deserialize(&file).is_ok());
    agrees_with_the_crate(&file);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutations_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = shard();
        for (index, byte) in changes {
            let place = index.index(file.len());
            file[place] = byte;
        }
        let _ = parse(&file);
        agrees_with_the_crate(&file);
    }

    #[test]
    fn random_headers_never_panic(json in r#"[\[\]{}":,0-9a-z_ ]{0,80}"#) {
        let _ = parse(&made(&json, 8));
        let _ = parse_index(Path::new("i.json"), json.as_bytes());
    }
}
