//! From a Metal source to PTX, the text that an NVIDIA driver compiles for its GPU.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::clang::Clang;
use crate::diagnostics::for_authors;
use crate::library::{language_flags, words};
use crate::lower::{Interface, Lowered, Target, lower_in};
use crate::{MslError, Source, prelude};

/// A source compiled for NVIDIA GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ptx {
    /// The program.
    pub text: String,
    /// Its kernels: [`crate::EntryPoint::symbol`] is the name in the program. A kernel's parameters are its buffers in
    /// the order of their numbers: an address, or the struct itself where the source has a `constant T&`.
    pub interface: Interface,
}

/// The GPUs that programs are for: Ampere (A100) and everything later, whose drivers compile them for what they find.
const ARCHITECTURE: &str = "sm_80";
/// The first GPUs that can start a launch before the one before it has ended.
const OVERLAPPING_ARCHITECTURE: &str = "sm_90";
/// The version of PTX: CUDA 11.8's, so drivers from 520 on read it.
const VERSION: &str = "7.8";

/// What only Hopper has, and what a program says that has it: CUDA 12.0's version.
const WARPGROUP_PRODUCT: &str = "wgmma.";
const WARPGROUP_ARCHITECTURE: &str = "sm_90a";
const WARPGROUP_VERSION: &str = "8.0";

/// Sources that have something of their own for NVIDIA GPUs ask for this macro.
const DEFINE: &str = "MSL_PTX";

/// Lowers and compiles a source. Multiplications and additions are fused, as Metal's compiler may do. What was compiled
/// before is found in `cache`, a folder that may be deleted at any time.
///
/// # Errors
///
/// If there is no clang that knows NVIDIA's GPUs, the source is refused, or the cache can't be written.
pub fn compile(source: &Source, cache: &Path) -> Result<Ptx, MslError> {
    let clang = Clang::find()?;
    let folder = tempfile::tempdir().map_err(MslError::io("cannot create", &std::env::temp_dir()))?;
    let mut source = source.clone();
    source.defines.push((DEFINE.into(), "1".into()));
    let Lowered { text, interface } = lower_in(&source, &clang, folder.path(), Target::Ptx)?;
    let flags = flags();
    let kept = cache.join(format!("{}.ptx", key(&text, &flags, &clang)));
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(Ptx { text, interface });
    }
    prelude::write_to(folder.path(), Target::Ptx)?;
    let file = folder.path().join(LOWERED);
    std::fs::write(&file, &text).map_err(MslError::io("cannot write", &file))?;
    let output = clang.run(folder.path(), &flags).map_err(for_authors)?;
    let text = String::from_utf8(output)
        .map_err(|_| MslError::Compile(format!("the code for {} is not UTF-8", source.name)))?;
    let text = with_waits(with_limits(text, &interface), &interface);
    std::fs::create_dir_all(cache).map_err(MslError::io("cannot create", cache))?;
    let written = tempfile::NamedTempFile::new_in(cache).map_err(MslError::io("cannot write in", cache))?;
    std::fs::write(written.path(), &text).map_err(MslError::io("cannot write", written.path()))?;
    // What is at the address is complete or absent.
    written.persist(&kept).map_err(|error| MslError::io("cannot write", &kept)(error.error))?;
    Ok(Ptx { text, interface })
}

/// The program with `.maxntid` for every kernel that says how many threads it may have: the driver then gives each no more
/// registers than so many threads can have.
fn with_limits(mut text: String, interface: &Interface) -> String {
    for entry_point in &interface.entry_points {
        let Some(threads) = entry_point.max_threads else { continue };
        let begin = text.find(&format!(".entry {}(", entry_point.symbol));
        if let Some(end) = begin.and_then(|begin| Some(begin + text[begin..].find("\n)")? + 2)) {
            text.insert_str(end, &format!("\n.maxntid {threads}, 1, 1"));
        }
    }
    text
}

/// Where a kernel's own instructions begin.
const BODY: &str = "// %bb.0:";
/// Where a kernel lets the next launch begin before it waits itself.
const LET_NEXT_BEGIN: &str = "// let next begin";
/// Where a kernel waits for the launches before it; kernels may have put it where they need it.
const AFTER_EARLIER: &str = "// after earlier launches";

/// The program with a mark in each kernel where it waits for the launches before it: at its beginning, unless it has one.
fn with_waits(mut text: String, interface: &Interface) -> String {
    for entry_point in &interface.entry_points {
        let Some(begin) = text.find(&format!(".entry {}(", entry_point.symbol)) else { continue };
        let end = text[begin..].find("\n}").map_or(text.len(), |end| begin + end);
        let body = text[begin..end].find(BODY).map(|at| begin + at + BODY.len());
        if let Some(body) = body.filter(|&body| !text[body..end].contains(AFTER_EARLIER)) {
            text.insert_str(body, &format!("\n\t{AFTER_EARLIER}"));
        }
    }
    text
}

impl Ptx {
    /// The program for GPUs from Hopper on, which can start a launch while the one before it still runs ("programmatic
    /// dependent launch" in the CUDA programming guide; `griddepcontrol` in the PTX manual). The text itself is for all:
    /// there the marks are comments. A launch lets the next one start when its own wait is over, so that two are there at
    /// a time, or three where a kernel says that it may start before.
    pub fn overlapping(&self) -> String {
        let (version, architecture) = if self.text.contains(WARPGROUP_PRODUCT) {
            (WARPGROUP_VERSION, WARPGROUP_ARCHITECTURE)
        } else {
            (VERSION, OVERLAPPING_ARCHITECTURE)
        };
        self.text
            .replacen(&format!(".version {VERSION}"), &format!(".version {version}"), 1)
            .replacen(&format!(".target {ARCHITECTURE}"), &format!(".target {architecture}"), 1)
            .replace(LET_NEXT_BEGIN, "griddepcontrol.launch_dependents;")
            .replace(AFTER_EARLIER, "griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;")
    }
}

const LOWERED: &str = "kernels.clcpp";

/// How lowered text is compiled. What loops over a tile or a packet has to be unrolled to its end, or its arrays lie in
/// memory; divisions and roots may be off by a few units in the last place, as Metal's may.
fn flags() -> Vec<String> {
    let target = format!(
        "--target=nvptx64-nvidia-cuda -march={ARCHITECTURE} -Xclang -target-feature -Xclang +ptx{}",
        VERSION.replace('.', "")
    );
    let code = format!(
        "-O3 -S -o - -fno-math-errno -fno-strict-aliasing -fno-exceptions -ffp-contract=fast \
         -mllvm -unroll-threshold=6000 -mllvm -nvptx-prec-divf32=1 -mllvm -nvptx-prec-sqrtf32=0 {LOWERED}"
    );
    [words(&target), language_flags(), words(&code)].concat()
}

/// A name for everything that the program depends on.
fn key(lowered: &str, flags: &[String], clang: &Clang) -> String {
    let mut hash = Sha256::new();
    let headers = prelude::FILES.iter().chain(&prelude::PTX_FILES).map(|file| file.text);
    for part in [lowered, clang.version()].into_iter().chain(headers).chain(flags.iter().map(String::as_str))
    {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).take(20).collect()
}
