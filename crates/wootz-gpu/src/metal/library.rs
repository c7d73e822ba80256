//! Kernels compiled at run time, and kept in a binary archive between runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use objc2::available;
use objc2::rc::Retained;
use objc2_foundation::{NSArray, NSError, NSString, NSURL};
use objc2_metal::{
    MTLBinaryArchive, MTLBinaryArchiveDescriptor, MTLCompileOptions, MTLComputePipelineDescriptor,
    MTLComputePipelineState, MTLDevice, MTLLanguageVersion, MTLLibrary, MTLMathMode, MTLPipelineOption,
};
use sha2::{Digest, Sha256};

use super::Object;
use crate::device::{DeviceError, DeviceFacts, Kernel};
use crate::source::KernelSource;

/// The compiled libraries of a device, one a `.metal` file, and their archives on disk.
pub struct Libraries {
    device: Object<dyn MTLDevice>,
    folder: Option<PathBuf>,
    loaded: HashMap<&'static str, Library>,
    /// What did not compile will not the next time either: the compiler's message.
    refused: HashMap<&'static str, String>,
}

/// A compiled file.
struct Library {
    library: Object<dyn MTLLibrary>,
    archive: Option<Archive>,
}

/// Machine code of pipelines, on disk under a name that no other source, system or device has.
struct Archive {
    archive: Object<dyn MTLBinaryArchive>,
    path: PathBuf,
    changed: bool,
}

impl Libraries {
    pub fn new(device: Object<dyn MTLDevice>, cache: Option<&Path>) -> Libraries {
        // A cache that can't be made is none: the kernels are then compiled in every run.
        let folder = cache.filter(|folder| std::fs::create_dir_all(folder).is_ok()).map(Path::to_path_buf);
        Libraries { device, folder, loaded: HashMap::new(), refused: HashMap::new() }
    }

    /// The pipeline of a kernel, from the archive if it is there.
    pub fn pipeline(
        &mut self,
        kernel: Kernel,
        facts: &DeviceFacts,
    ) -> Result<Object<dyn MTLComputePipelineState>, DeviceError> {
        let failed = |message: String| DeviceError::Compile {
            kernel: format!("{kernel:?}"),
            device: facts.name.clone(),
            message,
        };
        if let Some(message) = self.refused.get(kernel.source.file) {
            return Err(failed(message.clone()));
        }
        if !self.loaded.contains_key(kernel.source.file) {
            let text = kernel.source.flattened().map_err(&failed)?;
            let library = self.compile(&text, kernel.source).map_err(|error| {
                let message = explain(&error);
                self.refused.insert(kernel.source.file, message.clone());
                failed(message)
            })?;
            let archive = self.folder.as_ref().and_then(|folder| self.archive(folder, &text, facts));
            self.loaded.insert(kernel.source.file, Library { library, archive });
        }
        let Library { library, archive } =
            self.loaded.get_mut(kernel.source.file).expect("it was loaded just now");
        let function = library
            .newFunctionWithName(&NSString::from_str(kernel.entry))
            .ok_or_else(|| failed("the library has no such entry point".into()))?;
        let descriptor = MTLComputePipelineDescriptor::new();
        descriptor.setComputeFunction(Some(&function));
        // SAFETY: every launch has threadgroups of a multiple of 32 threads (`Grid`), checked when it is encoded.
        unsafe { descriptor.setThreadGroupSizeIsMultipleOfThreadExecutionWidth(true) };
        if let Some(archive) = archive {
            descriptor.setBinaryArchives(Some(&NSArray::from_retained_slice(std::slice::from_ref(
                &archive.archive,
            ))));
        }
        let make = |option| {
            self.device.newComputePipelineStateWithDescriptor_options_reflection_error(
                &descriptor,
                option,
                None,
            )
        };
        if archive.is_some()
            && let Ok(found) = make(MTLPipelineOption::FailOnBinaryArchiveMiss)
        {
            return Ok(found);
        }
        let compiled = make(MTLPipelineOption::None).map_err(|error| failed(explain(&error)))?;
        if let Some(archive) = archive {
            let added = archive.archive.addComputePipelineFunctionsWithDescriptor_error(&descriptor);
            archive.changed |= added.is_ok();
        }
        Ok(compiled)
    }

    /// Writes archives that have grown. Failing only costs the next run some compiling.
    pub fn save(&mut self) {
        for archive in self.loaded.values_mut().filter_map(|library| library.archive.as_mut()) {
            if std::mem::take(&mut archive.changed) {
                // Another process may be writing the same archive: each writes its own file, the last rename stands.
                let fresh = archive.path.with_extension(format!("{}.new", std::process::id()));
                let written = archive.archive.serializeToURL_error(&url(&fresh));
                let _ = written.is_ok() && std::fs::rename(&fresh, &archive.path).is_ok();
            }
        }
    }

    fn compile(
        &self,
        text: &str,
        source: &KernelSource,
    ) -> Result<Object<dyn MTLLibrary>, Retained<NSError>> {
        let options = MTLCompileOptions::new();
        // 3.1 is the first with bfloat, and what the oldest supported system (macOS 14) compiles. Tensor operations
        // are of 4.0, and their kernels are chosen only where it is there.
        options.setLanguageVersion(match source.needs_tensor_operations() {
            true => MTLLanguageVersion::Version4_0,
            false => MTLLanguageVersion::Version3_1,
        });
        // Masks are infinities and poison is NaN, so the compiler may not assume that there are none. What may be
        // computed with less care says so in the kernels (`fast::`).
        if available!(macos = 15.0) {
            options.setMathMode(MTLMathMode::Safe);
        } else {
            #[allow(deprecated)] // the only way before macOS 15
            options.setFastMathEnabled(false);
        }
        self.device.newLibraryWithSource_options_error(&NSString::from_str(text), Some(&options))
    }

    /// The archive for a source on this device and system: the one on disk, or a new one.
    fn archive(&self, folder: &Path, text: &str, facts: &DeviceFacts) -> Option<Archive> {
        let mut hash = Sha256::new();
        for part in [text, &facts.driver, &facts.name] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(name).with_extension("metalar");
        let open = |path: Option<&Path>| {
            let descriptor = MTLBinaryArchiveDescriptor::new();
            descriptor.setUrl(path.map(url).as_deref());
            self.device.newBinaryArchiveWithDescriptor_error(&descriptor).ok()
        };
        // A damaged archive is as good as none.
        let archive = path.exists().then(|| open(Some(&path))).flatten().or_else(|| open(None))?;
        Some(Archive { archive, path, changed: false })
    }
}

fn url(path: &Path) -> Retained<NSURL> {
    NSURL::fileURLWithPath(&NSString::from_str(&path.to_string_lossy()))
}

fn explain(error: &NSError) -> String {
    error.localizedDescription().to_string()
}
