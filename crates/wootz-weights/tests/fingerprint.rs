//! Which changes of a model its fingerprint notices.

use std::path::Path;

use wootz_weights::{Checkpoint, fingerprint};

fn of(path: &Path) -> [u8; 32] {
    fingerprint(&Checkpoint::open(path).unwrap()).unwrap()
}

fn tiny() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/tiny.gguf");
    std::fs::read(path).unwrap()
}

#[test]
fn the_same_file_elsewhere_has_the_same_fingerprint_and_another_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.gguf", "b.gguf", "c.gguf"].map(|name| folder.path().join(name));
    let mut bytes = tiny();
    std::fs::write(&paths[0], &bytes).unwrap();
    std::fs::write(&paths[1], &bytes).unwrap();
    // Tensors of so few bytes are looked at whole.
    let checkpoint = Checkpoint::open(&paths[0]).unwrap();
    let data = checkpoint.tensors().last().unwrap().data();
    let place = bytes.windows(data.len()).rposition(|window| window == data).unwrap();
    bytes[place + data.len() - 1] ^= 1;
    std::fs::write(&paths[2], &bytes).unwrap();
    assert_eq!(of(&paths[0]), of(&paths[1]));
    assert_ne!(of(&paths[0]), of(&paths[2]));
}

#[test]
fn a_name_of_a_tensor_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.gguf"), folder.path().join("b.gguf"));
    let mut bytes = tiny();
    std::fs::write(&path, &bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let name = checkpoint.tensors().next().unwrap().name.clone();
    let place = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
    bytes[place] ^= 1;
    std::fs::write(&other, &bytes).unwrap();
    assert_ne!(of(&path), of(&other));
}
