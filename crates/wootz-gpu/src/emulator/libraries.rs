//! Kernel sources, compiled for this processor: each once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use msl::emulator::Library;
use msl::{Mode, MslError, Options, Source};

use super::{Checks, EmulatorSettings, NAME};
use crate::device::{DeviceError, Kernel};
use crate::source::KernelSource;

/// The libraries of one emulator, by the name of their file.
pub struct Libraries {
    options: Options,
    compiler: String,
    compilers: usize,
    opened: BTreeMap<&'static str, Library>,
    /// What did not compile will not the next time either.
    refused: BTreeMap<&'static str, DeviceError>,
}

impl Libraries {
    /// None yet.
    ///
    /// # Errors
    /// [`DeviceError::Absent`] where there is no compiler.
    pub fn new(settings: &EmulatorSettings) -> Result<Self, DeviceError> {
        let clang = msl::clang::Clang::find().map_err(|error| absent(&error))?;
        let mode = match settings.checks {
            Checks::Checked => Mode::Checked,
            Checks::Plain => Mode::Fast,
        };
        let cache: PathBuf = settings.cache.clone();
        Ok(Self {
            options: Options { mode, cache },
            compiler: clang.version().to_owned(),
            compilers: settings.workers.max(1),
            opened: BTreeMap::new(),
            refused: BTreeMap::new(),
        })
    }

    /// The compiler's version.
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// Compiles what is missing for `kernels`, several sources at once.
    pub fn prepare(
        &mut self,
        kernels: &[Kernel],
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), DeviceError> {
        let mut missing: Vec<&'static KernelSource> = Vec::new();
        let ours = |kernel: &&Kernel| kernel.source.is_compiled();
        for kernel in kernels.iter().filter(ours) {
            let file = kernel.source.file;
            if let Some(error) = self.refused.get(file) {
                return Err(error.clone());
            }
            if !self.opened.contains_key(file) && !missing.iter().any(|known| known.file == file) {
                missing.push(kernel.source);
            }
        }
        let mut ready: Vec<&str> = self.opened.keys().copied().collect();
        let compiled = self.compile(&missing, &mut |file| {
            ready.extend(file);
            progress(kernels.iter().filter(|kernel| ready.contains(&kernel.source.file)).count());
        });
        // What compiled is kept, whatever became of the others.
        let mut failed = None;
        for (source, library) in missing.iter().zip(compiled) {
            match library {
                Ok(library) => drop(self.opened.insert(source.file, library)),
                Err(error) => {
                    self.refused.insert(source.file, error.clone());
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        kernels.iter().filter(ours).try_for_each(|kernel| match self.library(*kernel) {
            Some(library) if library.interface().entry_point(kernel.entry).is_some() => Ok(()),
            _ => Err(DeviceError::Compile {
                kernel: format!("{kernel:?}"),
                device: NAME.to_owned(),
                message: "the file has no entry point of this name".to_owned(),
            }),
        })
    }

    /// Compiles several sources at once. `done` is called at the beginning, and with each file that is done.
    fn compile(
        &self,
        sources: &[&'static KernelSource],
        done: &mut dyn FnMut(Option<&'static str>),
    ) -> Vec<Result<Library, DeviceError>> {
        if let [source] = sources {
            done(None);
            let library = compile(source, &self.options);
            done(Some(source.file));
            return vec![library];
        }
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        let work = |sender: mpsc::Sender<_>| {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(source) = sources.get(place) else { return };
                if sender.send((place, compile(source, &self.options))).is_err() {
                    return;
                }
            }
        };
        let mut results: Vec<Option<_>> = sources.iter().map(|_| None).collect();
        done(None);
        std::thread::scope(|scope| {
            for _ in 0..self.compilers.min(sources.len()) {
                let sender = sender.clone();
                scope.spawn(|| work(sender));
            }
            drop(sender);
            for (place, result) in receiver {
                results[place] = Some(result);
                done(Some(sources[place].file));
            }
        });
        results.into_iter().map(|result| result.expect("every source was taken by a compiler")).collect()
    }

    /// The library of a kernel that was prepared.
    pub fn library(&self, kernel: Kernel) -> Option<&Library> {
        self.opened.get(kernel.source.file)
    }
}

/// The source as the compiler takes it.
///
/// # Errors
/// The header that is missing.
fn source(source: &KernelSource) -> Result<Source, DeviceError> {
    let text = source.flattened().map_err(|message| refused(source, message))?;
    Ok(Source::new(source.file, text))
}

/// Threadgroup memory of a kernel on every NVIDIA GPU.
const NVIDIA_THREADGROUP_BYTES: usize = 48 << 10;

fn compile(kernel_source: &KernelSource, options: &Options) -> Result<Library, DeviceError> {
    let compiled = msl::compile(&source(kernel_source)?, options).map_err(|error| match error {
        MslError::NoClang(_) => absent(&error),
        error => refused(kernel_source, error.to_string()),
    })?;
    let library = Library::open(&compiled).map_err(|error| refused(kernel_source, error.to_string()))?;
    // Kernels that are only for NVIDIA's GPUs.
    let more = kernel_source.needs_register_factors();
    Ok(if more { library.with_threadgroup_memory(NVIDIA_THREADGROUP_BYTES) } else { library })
}

fn absent(error: &MslError) -> DeviceError {
    DeviceError::Absent { device: NAME, reason: error.to_string() }
}

fn refused(source: &KernelSource, message: String) -> DeviceError {
    DeviceError::Compile { kernel: source.file.to_owned(), device: NAME.to_owned(), message }
}
