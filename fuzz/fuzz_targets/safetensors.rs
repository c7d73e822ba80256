//! A safetensors file of any bytes: its header, and that its tensors lie inside it.
//!
//! `cargo +nightly fuzz run safetensors fuzz/corpus/safetensors crates/wootz-weights/tests/fixtures/checkpoints/folder`
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wootz_weights::safetensors::Header;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::parse(Path::new("fuzz.safetensors"), bytes) else { return };
    for tensor in &header.tensors {
        let _ = &bytes[tensor.bytes.clone()];
    }
});
