//! Larger checkpoints than the repository holds, read where `../shared` is beside it.

use std::path::{Path, PathBuf};

use wootz_weights::Checkpoint;

/// A folder of `../shared`, if there is one.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    if !path.is_dir() {
        println!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn real_vocabularies_open() {
    let Some(folder) = shared("data/vocab") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gguf") {
            let checkpoint = Checkpoint::open(&path).unwrap();
            let tokens = checkpoint.gguf_metadata().unwrap().get_strings("tokenizer.ggml.tokens").unwrap();
            assert!(tokens.len() > 30_000 && tokens.iter().len() == tokens.len(), "{}", path.display());
            assert_eq!(checkpoint.config().unwrap()["vocab_size"], tokens.len());
        }
    }
}

#[test]
fn both_formats_of_a_model_say_the_same() {
    let Some(models) = shared("models") else { return };
    for (folder, file) in [("tales-46m", "tales-46m.Q4_K_M.gguf"), ("tales-7m", "tales-7m.Q8_0.gguf")] {
        let safetensors = Checkpoint::open(models.join(folder)).unwrap();
        let gguf = Checkpoint::open(models.join(file)).unwrap();
        let (expected, found) = (safetensors.config().unwrap(), gguf.config().unwrap());
        for (key, value) in expected.as_object().unwrap() {
            // What GGUF leaves to be computed, and what no reader needs.
            if !["head_dim", "torch_dtype"].contains(&key.as_str()) {
                assert_eq!(&found[key], value, "{key} of {folder}");
            }
        }
        let exact = safetensors.require("model.norm.weight").unwrap().to_f32();
        assert_eq!(gguf.require("output_norm.weight").unwrap().to_f32(), exact, "{folder}");
        let exact = safetensors.require("model.layers.0.mlp.down_proj.weight").unwrap().to_f32();
        let close = gguf.require("blk.0.ffn_down.weight").unwrap().to_f32();
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
        let error =
            square(&mut exact.iter().zip(&close).map(|(a, b)| a - b)) / square(&mut exact.iter().copied());
        assert!(error.sqrt() < 0.02, "{folder}: {}", error.sqrt());
    }
}
