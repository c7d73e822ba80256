//! GGUF files: what is read from good ones, and what is said about damaged ones.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wootz_weights::gguf::{Array, Header, Value};
use wootz_weights::{Checkpoint, CheckpointFormat, TensorType, WeightsError};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints")
}

fn tiny() -> Vec<u8> {
    std::fs::read(fixtures().join("tiny.gguf")).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Header, WeightsError> {
    Header::parse(Path::new("made.gguf"), bytes)
}

/// What is said about a file of these bytes.
fn complaint(bytes: &[u8]) -> String {
    let message = parse(bytes).map(|header| header.tensors).unwrap_err().to_string();
    assert!(message.contains("made.gguf"), "{message}");
    message
}

/// Where the name of a key or tensor begins in `tiny.gguf`.
fn place_of(name: &str) -> usize {
    tiny().windows(name.len()).position(|window| window == name.as_bytes()).unwrap()
}

/// `tiny.gguf` with other bytes at a place.
fn patched(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = tiny();
    file[place..][..bytes.len()].copy_from_slice(bytes);
    file
}

/// The fields of a tensor's description, counted from the end of its name: dimensions, the first of them, type, offset.
fn field(tensor: &str, after: usize, bytes: &[u8]) -> Vec<u8> {
    patched(place_of(tensor) + tensor.len() + after, bytes)
}

#[test]
fn every_type_of_value_is_read() {
    let header = parse(&tiny()).unwrap();
    let value = |name: &str| header.metadata.get(&format!("test.{name}")).unwrap().clone();
    assert_eq!(header.version, 3);
    assert_eq!(value("u8"), Value::U8(200));
    assert_eq!(value("i8"), Value::I8(-100));
    assert_eq!(value("u16"), Value::U16(60_000));
    assert_eq!(value("i16"), Value::I16(-30_000));
    assert_eq!(value("u32"), Value::U32(4_000_000_000));
    assert_eq!(value("i32"), Value::I32(-2_000_000_000));
    assert_eq!(value("f32"), Value::F32(0.1));
    assert_eq!(value("bool"), Value::Bool(true));
    assert_eq!(value("string"), Value::String("naïve 🙂".to_string()));
    assert_eq!(value("u64"), Value::U64(1 << 63));
    assert_eq!(value("i64"), Value::I64(-(1 << 62)));
    assert_eq!(value("f64"), Value::F64(0.1));
    assert_eq!(value("i32s"), Value::Array(Array::I32(vec![-1, 2, 3])));
    assert_eq!(value("f32s"), Value::Array(Array::F32(vec![0.5, -1.5])));
    assert_eq!(value("bools"), Value::Array(Array::Bool(vec![true, false])));
    let nested = vec![Array::I32(vec![1, 2]), Array::I32(vec![3])];
    assert_eq!(value("nested"), Value::Array(Array::Arrays(nested)));
    let strings = header.metadata.get_strings("test.strings").unwrap();
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "", "ü", "Ġthe"]);
    assert_eq!((strings.get(2), strings.get(4), strings.len()), (Some("ü"), None, 4));
}

#[test]
fn getters_convert_and_explain() {
    let metadata = parse(&tiny()).unwrap().metadata;
    assert_eq!(metadata.get_u64("test.u8").unwrap(), 200);
    assert_eq!(metadata.get_u64("test.u64").unwrap(), 1 << 63);
    assert_eq!(metadata.get_f32("test.f64").unwrap(), 0.1);
    assert_eq!(metadata.get_str("test.string").unwrap(), "naïve 🙂");
    assert!(metadata.get_bool("test.bool").unwrap());
    assert_eq!(metadata.optional_u64("absent").unwrap(), None);
    assert_eq!(metadata.get_f32s("test.f32s").unwrap(), [0.5, -1.5]);
    let says = |result: Result<u64, WeightsError>, expected: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    says(metadata.get_u64("absent"), "has no metadata key absent");
    says(
        metadata.get_u64("test.i8"),
        "metadata key test.i8: found i8; expected an integer that is not negative",
    );
    says(metadata.get_u64("test.strings"), "found an array of 4 string values; expected an integer");
    says(
        metadata.get_u32("test.u64").map(u64::from),
        "found 9223372036854775808; expected an integer below 2^32",
    );
    says(metadata.get_u64s("test.i32s").map(|_| 0), "integers that are not negative");
}

#[test]
fn tensors_are_found() {
    let checkpoint = Checkpoint::open(fixtures().join("tiny.gguf")).unwrap();
    assert_eq!(checkpoint.format(), CheckpointFormat::Gguf);
    assert_eq!((checkpoint.tensors().len(), checkpoint.folder()), (4, None));
    expect_tensors(&checkpoint);
    let message = checkpoint.require("model.norm.weight").unwrap_err().to_string();
    assert!(message.contains("has no tensor model.norm.weight"), "{message}");
    let message = checkpoint.require("blk.7.attn_norm.weight").unwrap_err().to_string();
    assert!(message.contains("for instance blk.0.attn_norm.weight"), "{message}");
}

fn expect_tensors(checkpoint: &Checkpoint) {
    for (name, kind, shape) in [
        ("token_embd.weight", TensorType::F32, &[8, 32][..]),
        ("blk.0.attn_norm.weight", TensorType::F32, &[32]),
        ("blk.0.experts.weight", TensorType::F16, &[2, 3, 32]),
        ("output.weight", TensorType::Q8_0, &[2, 32]),
    ] {
        let tensor = checkpoint.require(name).unwrap();
        assert_eq!((tensor.kind, tensor.shape.as_slice()), (kind, shape), "{name}");
        if kind != TensorType::Q8_0 {
            let expected: Vec<f32> = (0..tensor.elements()).map(|i| i as f32).collect();
            assert_eq!(tensor.to_f32(), expected, "{name}");
        }
        assert_eq!(tensor.data().len(), tensor.rows() * tensor.row_bytes());
        assert_eq!(tensor.row(tensor.rows() - 1).len(), tensor.row_bytes());
    }
}

#[test]
fn any_part_of_a_split_model_opens_all_of_it() {
    for part in 1..=3 {
        let checkpoint =
            Checkpoint::open(fixtures().join(format!("split-0000{part}-of-00003.gguf"))).unwrap();
        expect_tensors(&checkpoint);
        assert_eq!(checkpoint.gguf_metadata().unwrap().get_u64("llama.block_count").unwrap(), 1);
    }
}

#[test]
fn parts_must_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let part = |number: usize| format!("split-0000{number}-of-00003.gguf");
    let copy = |from: usize, to: usize| {
        std::fs::copy(fixtures().join(part(from)), folder.path().join(part(to))).unwrap()
    };
    let open = || Checkpoint::open(folder.path().join(part(1))).map(|_| ()).unwrap_err().to_string();
    copy(1, 1);
    copy(2, 2);
    assert!(open().contains("cannot open"), "{}", open());
    copy(2, 3);
    assert!(open().contains("metadata key split.no: found 1; expected 2"), "{}", open());
    std::fs::copy(fixtures().join(part(2)), folder.path().join("renamed.gguf")).unwrap();
    let message = Checkpoint::open(folder.path().join("renamed.gguf")).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("-00001-of-00003.gguf"), "{message}");
}

#[test]
fn versions_and_byte_orders_are_named() {
    assert_eq!(parse(&patched(4, &2_u32.to_le_bytes())).unwrap().version, 2);
    assert!(complaint(&patched(4, &1_u32.to_le_bytes())).contains("GGUF version 1; expected version 2 or 3"));
    assert!(complaint(&patched(4, &3_u32.to_be_bytes())).contains("big-endian"));
    assert!(complaint(&patched(0, b"GGML")).contains("magic"));
}

#[test]
fn damage_to_a_tensor_is_named() {
    let name = "token_embd.weight";
    let says = |bytes: &[u8], expected: &str| {
        let message = complaint(bytes);
        assert!(message.contains(&format!("tensor {name}")) && message.contains(expected), "{message}");
    };
    says(&field(name, 0, &99_u32.to_le_bytes()), "99 dimensions; expected at most 4");
    says(&field(name, 4, &0_u64.to_le_bytes()), "dimension 1 is zero");
    says(&field(name, 4, &u64::MAX.to_le_bytes()), "larger than any memory");
    says(&field(name, 4, &(1_u64 << 40).to_le_bytes()), "truncated or damaged");
    says(
        &field(name, 20, &77_u32.to_le_bytes()),
        "type number 77, which is not supported; supported are F32 F16 Q4_0",
    );
    says(&field(name, 20, &31_u32.to_le_bytes()), "Q4_0_4_4, removed from ggml: use Q4_0");
    says(
        &field(name, 20, &12_u32.to_le_bytes()),
        "rows of 32 elements, not a multiple of the 256 in a block of Q4_K",
    );
    says(&field(name, 24, &7_u64.to_le_bytes()), "the offset 7; expected a multiple of the alignment 32");
    says(&field(name, 24, &(1_u64 << 60).to_le_bytes()), "truncated or damaged");
    says(&field(name, 24, &(u64::MAX - 31).to_le_bytes()), "truncated or damaged");
    let message = complaint(&field("blk.0.attn_norm.weight", 16, &32_u64.to_le_bytes()));
    assert!(message.contains("overlapping"), "{message}");
}

#[test]
fn names_occur_once() {
    let message = complaint(&patched(place_of("test.i16"), b"test.u16"));
    assert!(message.contains("metadata key test.u16: found it twice"), "{message}");
    let tensor = |offset: u64| {
        let name = [&1_u64.to_le_bytes()[..], b"w"].concat();
        [name, 0_u32.to_le_bytes().to_vec(), 0_u32.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()]
            .concat()
    };
    let mut file = [b"GGUF\x03\0\0\0".to_vec(), [2_u64, 0].map(u64::to_le_bytes).concat()].concat();
    file.extend([tensor(0), tensor(32)].concat());
    file.resize(200, 0);
    assert!(complaint(&file).contains("tensor w: found it twice"));
}

#[test]
fn counts_that_cannot_be_are_refused_before_allocation() {
    let counts = [u64::MAX, u64::MAX / 8, 1 << 60, 1 << 40, 1 << 36, 1 << 33, 10_000];
    let string = place_of("test.string") + "test.string".len() + 4;
    let strings = place_of("test.strings") + "test.strings".len() + 8;
    let nested = place_of("test.nested") + "test.nested".len() + 8;
    let numbers = place_of("test.i32s") + "test.i32s".len() + 8;
    for count in counts {
        for place in [8, 16, string, strings, nested, numbers, place_of("general.architecture") - 8] {
            let message = complaint(&patched(place, &count.to_le_bytes()));
            assert!(message.contains("truncated or damaged"), "{count} at {place}: {message}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend([0_u64, 1, 1].map(u64::to_le_bytes).concat());
    file.push(b'k');
    file.extend(9_u32.to_le_bytes());
    for _ in 0..100_000 {
        file.extend(9_u32.to_le_bytes());
        file.extend(1_u64.to_le_bytes());
    }
    assert!(complaint(&file).contains("metadata key k: found arrays nested deeper than 8"));
}

#[test]
fn every_truncation_is_an_error() {
    let file = tiny();
    // What follows the last tensor is padding.
    let end = parse(&file).unwrap().tensors.iter().map(|tensor| tensor.bytes.end).max().unwrap();
    for length in 0..end {
        let message = complaint(&file[..length]);
        assert!(message.contains("truncated or damaged"), "{length}: {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutations_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = tiny();
        // The first bytes decide most: half of the changes go there.
        for (i, (index, byte)) in changes.into_iter().enumerate() {
            let end = if i % 2 == 0 { file.len() } else { 1200 };
            let place = index.index(end);
            file[place] = byte;
        }
        if let Ok(header) = parse(&file) {
            for tensor in header.tensors {
                prop_assert!(tensor.bytes.end <= file.len());
                let row = tensor.kind.row_bytes(*tensor.shape.last().unwrap_or(&1)).unwrap();
                let rows: usize = tensor.shape.iter().rev().skip(1).product();
                prop_assert_eq!(tensor.bytes.len(), row * rows);
            }
            let _ = wootz_weights::gguf::config(&header.metadata, |_| None);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut file in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&file);
        if file.len() > 8 {
            file[..8].copy_from_slice(b"GGUF\x03\0\0\0");
            let _ = parse(&file);
        }
    }
}
