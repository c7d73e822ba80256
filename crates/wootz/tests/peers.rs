//! Figures that another program gives for the same model and text; needs the data beside the repository.

use std::path::Path;
use std::process::Command;

/// `llama-perplexity` says 45.1563 for the small model at Q8_0 on the first 300 000 bytes of this text.
#[test]
fn perplexity_agrees_with_llama_cpp() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = root.join("../shared/data/text/books-heldout.txt");
    let Ok(bytes) = std::fs::read(&text) else {
        println!("skipped: {} is not here", text.display());
        return;
    };
    let folder = tempfile::tempdir().expect("a folder for the excerpt");
    let excerpt = folder.path().join("excerpt.txt");
    std::fs::write(&excerpt, &bytes[..300_000]).expect("the excerpt is written");
    let output = Command::new(env!("CARGO_BIN_EXE_wootz"))
        .arg("perplexity")
        .args([root.join("models/tales-7m.Q8_0.gguf"), excerpt])
        .output()
        .expect("the binary runs");
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: f64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a figure");
    assert!((value / 45.1563 - 1.0).abs() < 0.005, "{line}");
}
