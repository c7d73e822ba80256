//! The kernels' programs, and which of them the driver has compiled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use msl::Ptx;
use msl::lower::{Argument, Space};

use super::driver::{Context, Entry, Module};
use crate::device::{DeviceError, Kernel};

/// A kernel file's program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file: `norm.metal`.
    pub file: String,
    /// What it was compiled to.
    pub ptx: Ptx,
}

/// What a kernel takes in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// An address of device memory.
    Address,
    /// A struct by value.
    Struct,
}

/// A kernel that can be launched.
#[derive(Debug)]
pub struct Function {
    /// The driver's handle.
    pub entry: Entry,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
}

/// All programs.
pub struct Programs {
    // Functions go before their modules.
    functions: HashMap<Kernel, Function>,
    modules: HashMap<&'static str, Module>,
    programs: HashMap<String, Ptx>,
    context: Arc<Context>,
}

impl Programs {
    /// Programs of which none is compiled yet.
    pub fn new(context: &Arc<Context>, programs: Vec<Program>) -> Self {
        let programs = programs.into_iter().map(|program| (program.file, program.ptx)).collect();
        Self { functions: HashMap::new(), modules: HashMap::new(), programs, context: context.clone() }
    }

    /// A kernel, compiled when it is first asked for with all others of its file.
    pub fn function(&mut self, kernel: Kernel) -> Result<&Function, DeviceError> {
        if !self.functions.contains_key(&kernel) {
            let function = self.load(kernel).map_err(|message| DeviceError::Compile {
                kernel: format!("{kernel:?}"),
                device: "CUDA".to_owned(),
                message,
            })?;
            self.functions.insert(kernel, function);
        }
        Ok(&self.functions[&kernel])
    }

    /// Compiles the programs of kernels, several at a time; `progress` is called with how many kernels are done.
    pub fn prepare(
        &mut self,
        kernels: &[Kernel],
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), DeviceError> {
        let mut files: Vec<&'static str> = kernels.iter().map(|kernel| kernel.source.file).collect();
        files.sort_unstable();
        files.dedup();
        files.retain(|file| !self.modules.contains_key(file) && self.programs.contains_key(*file));
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
        let next = AtomicUsize::new(0);
        let (send, loaded) = mpsc::channel();
        let (programs, context) = (&self.programs, &self.context);
        let mut modules = Vec::with_capacity(files.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (send, next, files) = (send.clone(), &next, &files);
                scope.spawn(move || {
                    while let Some(&file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let _ = send.send((file, module(context, &programs[file])));
                    }
                });
            }
            drop(send);
            let mut done =
                kernels.len() - kernels.iter().filter(|kernel| files.contains(&kernel.source.file)).count();
            for (file, module) in loaded {
                done += kernels.iter().filter(|kernel| kernel.source.file == file).count();
                progress(done);
                modules.push((file, module));
            }
        });
        // One that the driver refuses is asked for again by name, for the error.
        self.modules.extend(modules.into_iter().filter_map(|(file, module)| Some((file, module.ok()?))));
        kernels.iter().try_for_each(|kernel| self.function(*kernel).map(drop))
    }

    fn load(&mut self, kernel: Kernel) -> Result<Function, String> {
        let file = kernel.source.file;
        let ptx = self.programs.get(file).ok_or_else(|| format!("this build has no program of {file}"))?;
        let entry = ptx.interface.entry_point(kernel.entry).ok_or("its program has no such kernel")?;
        if !self.modules.contains_key(file) {
            self.modules.insert(file, module(&self.context, ptx)?);
        }
        let mut parameters = Vec::new();
        for argument in &entry.arguments {
            match argument {
                Argument::Buffer { index, type_name, space, .. } => {
                    let by_value = *space == Space::Constant && type_name.trim_end().ends_with('&');
                    parameters.push((*index, if by_value { Parameter::Struct } else { Parameter::Address }));
                }
                Argument::Threadgroup { name, .. } => {
                    return Err(format!("`{name}` is threadgroup memory whose size the launch would give"));
                }
                Argument::Builtin { .. } => {}
            }
        }
        parameters.sort_by_key(|(index, _)| *index);
        let found = self.modules[file].function(&entry.symbol)?;
        Ok(Function { entry: found, parameters: parameters.into_iter().map(|(_, kind)| kind).collect() })
    }
}

/// The driver's code for a program.
fn module(context: &Arc<Context>, ptx: &Ptx) -> Result<Module, String> {
    if context.overlapping() {
        Module::new(context, &ptx.overlapping())
    } else {
        Module::new(context, &ptx.text)
    }
}
