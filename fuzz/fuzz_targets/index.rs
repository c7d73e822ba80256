//! An index of shards of any bytes: what it names stays in its folder.
//!
//! `cargo +nightly fuzz run index`
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wootz_weights::safetensors::parse_index;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = parse_index(Path::new("index.json"), bytes) else { return };
    for file in index.values() {
        assert_eq!(Path::new("folder").join(file).parent(), Some(Path::new("folder")));
    }
});
