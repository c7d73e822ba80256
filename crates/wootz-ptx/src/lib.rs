//! The GPU kernels, compiled for NVIDIA GPUs when this crate was built: see `build.rs`. In builds for a Mac there are none.
#![forbid(unsafe_code)]

use msl::Ptx;
use wootz_gpu::cuda::Program;

/// File, PTX and interface of each program, as JSON, compressed.
const PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/programs.lz4"));

/// Every kernel file's program.
///
/// # Panics
/// If the embedded bytes are not what the build wrote.
pub fn programs() -> Vec<Program> {
    let text = lz4_flex::decompress_size_prepended(PROGRAMS).expect("the build compressed it");
    let programs: Vec<(String, String, msl::Interface)> =
        serde_json::from_slice(&text).expect("the build wrote it");
    let program = |(file, text, interface)| Program { file, ptx: Ptx { text, interface } };
    programs.into_iter().map(program).collect()
}
