//! Libraries: a lowered source compiled to a shared object, kept on disk for the next time.

use std::fs::File;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::clang::Clang;
use crate::diagnostics::for_authors;
use crate::lower::{Interface, Target, lower_in};
use crate::{MslError, Source, prelude};

/// How a source is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the code will be used for.
    pub mode: Mode,
    /// Where compiled libraries are kept. The folder may be deleted at any time.
    pub cache: PathBuf,
}

/// What compiled code is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Every access of memory asks the emulator first, and reports know the line of the kernel.
    Checked,
    /// Optimised for this processor, without checks.
    Fast,
}

impl Options {
    /// A mode, with the cache in the user's cache folder.
    pub fn new(mode: Mode) -> Self {
        Self { mode, cache: default_cache() }
    }
}

/// `wootz/msl` in the user's cache folder, or in the folder for temporary files if the user has none.
pub fn default_cache() -> PathBuf {
    use etcetera::BaseStrategy as _;
    let user = etcetera::choose_base_strategy().map(|strategy| strategy.cache_dir());
    user.unwrap_or_else(|_| std::env::temp_dir()).join("wootz").join("msl")
}

/// A shared object with the entry points of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledLibrary {
    /// The shared object. It needs nothing but the C library and its mathematical functions.
    pub path: PathBuf,
    /// What can be called in it.
    pub interface: Interface,
    /// How it was compiled.
    pub mode: Mode,
}

const OBJECT: &str = "library.so";
const INTERFACE: &str = "interface.json";
const LOWERED: &str = "lowered.clcpp";

/// Lowers and compiles a source for this machine, unless it has been before.
///
/// Any number of processes may ask for the same library at the same time: one compiles, the others wait for it.
///
/// # Errors
///
/// If there is no clang, if the source is refused, or if the cache folder can't be written.
pub fn compile(source: &Source, options: &Options) -> Result<CompiledLibrary, MslError> {
    let clang = Clang::find()?;
    let key = key(source, options.mode, &clang);
    let folder = options.cache.join(&key);
    if let Some(library) = load(&folder, options.mode) {
        return Ok(library);
    }
    std::fs::create_dir_all(&options.cache).map_err(MslError::io("cannot create", &options.cache))?;
    let lock_path = options.cache.join(format!("{key}.lock"));
    let lock = File::create(&lock_path).map_err(MslError::io("cannot create", &lock_path))?;
    lock.lock().map_err(MslError::io("cannot lock", &lock_path))?;
    // Another process may have compiled it while this one waited.
    if let Some(library) = load(&folder, options.mode) {
        return Ok(library);
    }
    let work = tempfile::tempdir_in(&options.cache).map_err(MslError::io("cannot create", &options.cache))?;
    let interface = build(source, options.mode, &clang, work.path())?;
    // What is at the address is complete or absent: a folder is renamed in one step.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(work.path(), &folder).map_err(MslError::io("cannot create", &folder))?;
    // Its files now have their lasting address; there is nothing left to delete.
    let _ = work.keep();
    Ok(CompiledLibrary { path: folder.join(OBJECT), interface, mode: options.mode })
}

/// The library in a folder of the cache, if it is there and whole.
fn load(folder: &Path, mode: Mode) -> Option<CompiledLibrary> {
    let text = std::fs::read(folder.join(INTERFACE)).ok()?;
    let interface = serde_json::from_slice(&text).ok()?;
    let path = folder.join(OBJECT);
    path.is_file().then_some(CompiledLibrary { path, interface, mode })
}

/// Makes the shared object and the interface's file in `folder`.
fn build(source: &Source, mode: Mode, clang: &Clang, folder: &Path) -> Result<Interface, MslError> {
    let work = folder.join("work");
    std::fs::create_dir(&work).map_err(MslError::io("cannot create", &work))?;
    let lowered = lower_in(source, clang, &work, Target::Emulator)?;
    prelude::write_to(&work, Target::Emulator)?;
    write(&work.join(LOWERED), &lowered.text)?;
    write(&work.join("glue.cpp"), include_str!("emulator/glue.cpp"))?;
    let object: Vec<String> =
        [kernel_flags(mode), words("-c -o kernels.o"), vec![LOWERED.to_owned()]].concat();
    clang.run(&work, &object).map_err(for_authors)?;
    clang.run(&work, words("-O2 -fPIC -fno-omit-frame-pointer -fno-exceptions -c -o glue.o glue.cpp"))?;
    clang.run(&work, words("-shared -o ../library.so kernels.o glue.o -lm"))?;
    let interface = serde_json::to_string_pretty(&lowered.interface)
        .map_err(|error| MslError::io("cannot write", folder)(error.into()))?;
    write(&folder.join(LOWERED), &lowered.text)?;
    write(&folder.join(INTERFACE), &interface)?;
    std::fs::remove_dir_all(&work).map_err(MslError::io("cannot delete", &work))?;
    Ok(lowered.interface)
}

/// What every compilation of lowered text needs.
pub(crate) fn language_flags() -> Vec<String> {
    // Everything that OpenCL has, half among it, but not double: Metal has none.
    words(
        "-x clcpp -cl-std=CLC++2021 -cl-no-stdinc -Xclang -cl-ext=+all,-cl_khr_fp64,-__opencl_c_fp64 \
         -fno-builtin -Wno-everything -I.",
    )
}

/// How lowered text is compiled for this machine.
///
/// Metal's compiler may fuse a multiplication and an addition. Here only an explicit `fma` is fused, so that a kernel
/// gives the same bits on every processor, and its tolerance has to allow for either.
fn kernel_flags(mode: Mode) -> Vec<String> {
    let code = "-ffp-contract=off -fno-math-errno -fno-strict-aliasing -fPIC -fvisibility=hidden";
    let processor = if cfg!(target_arch = "x86_64") { "-march=native" } else { "-mcpu=native" };
    let mode = match mode {
        Mode::Fast => "-O2",
        Mode::Checked => {
            "-O1 -g -fdebug-compilation-dir=/msl -fno-omit-frame-pointer -Xclang -fsanitize=thread \
             -mllvm -tsan-instrument-read-before-write \
             -fsanitize=bounds,integer-divide-by-zero -fsanitize-minimal-runtime"
        }
    };
    [language_flags(), words(code), words(processor), words(mode)].concat()
}

/// The words of a command line without quotes.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn write(path: &Path, text: &str) -> Result<(), MslError> {
    std::fs::write(path, text).map_err(MslError::io("cannot write", path))
}

/// A name for everything that the shared object depends on.
fn key(source: &Source, mode: Mode, clang: &Clang) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    for part in [env!("CARGO_PKG_VERSION"), clang.version(), include_str!("emulator/glue.cpp"), &processor()]
    {
        add(part);
    }
    prelude::FILES.iter().for_each(|file| add(file.text));
    kernel_flags(mode).iter().for_each(|flag| add(flag));
    add(&source.name);
    add(&source.text);
    for header in &source.headers {
        add(&header.name);
        add(&header.text);
    }
    for (name, value) in &source.defines {
        add(name);
        add(value);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).take(20).collect()
}

/// What tells this processor from another that the same cache may be used on.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let fact = |line: &&str| ["flags", "Features", "model name"].iter().any(|name| line.starts_with(name));
    let first = text.lines().take_while(|line| !line.is_empty());
    first.filter(fact).fold(std::env::consts::ARCH.to_owned(), |all, line| all + "\n" + line)
}
