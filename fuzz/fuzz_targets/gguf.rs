//! A GGUF file of any bytes: its header, its configuration, and the values of its tensors.
//!
//! `cargo +nightly fuzz run gguf fuzz/corpus/gguf crates/wootz-weights/tests/fixtures/checkpoints`
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wootz_weights::gguf::{Header, config};

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::parse(Path::new("fuzz.gguf"), bytes) else { return };
    let _ = config(&header.metadata, |_| None);
    for tensor in &header.tensors {
        let data = &bytes[tensor.bytes.clone()];
        let mut block = vec![0.0; tensor.kind.block_elements()];
        for bytes in data.chunks(tensor.kind.block_bytes()) {
            tensor.kind.dequantize(bytes, &mut block);
        }
    }
});
