//! A loaded library, and how a dispatch of one of its kernels is run.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, PoisonError, RwLock};

use super::abi::{Entry, SLOTS, Table};
use super::checks::Checker;
use super::counts::Counts;
use super::dispatch::{Binding, Dispatch, position_in_grid};
use super::fault::{Fault, FaultKind};
use super::hooks::TABLE;
use super::limits;
use super::locate::Debugger;
use super::memory::{LIMIT_BYTES, MOST_BYTES};
use super::pool::{self, Found, Run};
use super::schedule::{Schedule, Shuffled};
use super::staging::Staging;
use super::worker::Plan;
use crate::{CompiledLibrary, EntryPoint, Interface, Location};

/// How to run a dispatch. Whether it is checked is the library's choice, made when it was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// The order of threads and threadgroups.
    pub schedule: Schedule,
    /// Operating-system threads to use at most. With checks it is always one, so that a run can be repeated.
    pub workers: usize,
}

impl Default for Mode {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { schedule: Schedule::InOrder, workers }
    }
}

impl Mode {
    /// A schedule drawn from a seed.
    pub fn random(seed: u64) -> Self {
        Self { schedule: Schedule::Random(seed), ..Self::default() }
    }
}

/// Why a library can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system does not load it.
    #[error("cannot load the kernel library {path}: {source}")]
    Load {
        /// The file.
        path: String,
        /// Why not.
        source: libloading::Error,
    },
    /// Its tables for finding source lines can't be read.
    #[error("the kernel library {path} has no readable symbol table")]
    Tables {
        /// The file.
        path: String,
    },
    /// It lacks something that the compiler was told to put there.
    #[error("the kernel library {path} lacks `{symbol}`: {source}")]
    Symbol {
        /// The file.
        path: String,
        /// What is missing.
        symbol: String,
        /// What the system says.
        source: libloading::Error,
    },
}

/// A kernel library that is loaded into this process.
///
/// Its kernels run natively. In a library with checks each access of memory is looked at before it happens; without
/// checks a kernel's mistakes do to this process what they like.
pub struct Library {
    interface: Interface,
    /// There in a library with checks.
    debugger: Option<Arc<Debugger>>,
    entries: HashMap<String, Entry>,
    constants: Vec<FunctionConstant>,
    /// Bytes of threadgroup memory that its kernels may have.
    threadgroup_limit: usize,
    /// Values of function constants lie in the library: dispatches with different ones take turns.
    turn: RwLock<()>,
    /// Kept loaded for as long as its functions can be called.
    _loaded: libloading::Library,
}

struct FunctionConstant {
    name: String,
    index: u32,
    storage: *mut [u8; 16],
}

// SAFETY: the storage lies in the loaded library, and is only written while `turn` is held alone.
unsafe impl Send for FunctionConstant {}
// SAFETY: as above.
unsafe impl Sync for FunctionConstant {}

impl Library {
    /// Loads a library that was compiled for the emulator.
    ///
    /// # Errors
    ///
    /// If the system can't load it, or it isn't what the compiler should have made.
    pub fn open(compiled: &CompiledLibrary) -> Result<Self, OpenError> {
        let path = compiled.path.display().to_string();
        let missing = |symbol: &str, source| OpenError::Symbol {
            path: compiled.path.display().to_string(),
            symbol: symbol.to_owned(),
            source,
        };
        // SAFETY: the file was made by this crate's compiler, and runs no code when it is loaded except for the
        // (empty) initialiser of the sanitizer.
        let loaded = unsafe { libloading::Library::new(&compiled.path) }
            .map_err(|source| OpenError::Load { path, source })?;
        let mut entries = HashMap::new();
        let mut constants = Vec::new();
        let mut debugger = None;
        // SAFETY: the symbols have these types in `glue.cpp` and in what the lowering writes. The entries are only
        // called while `_loaded` lives, and the table is static.
        unsafe {
            let bind = loaded
                .get::<unsafe extern "C" fn(*const Table)>(b"msl_bind")
                .map_err(|source| missing("msl_bind", source))?;
            bind(&raw const BOUND);
            if compiled.mode == crate::Mode::Checked {
                let tables = Debugger::new(&compiled.path, *bind as usize);
                let missing = || OpenError::Tables { path: compiled.path.display().to_string() };
                debugger = Some(Arc::new(tables.ok_or_else(missing)?));
            }
            for kernel in &compiled.interface.entry_points {
                let entry = loaded
                    .get::<Entry>(kernel.symbol.as_bytes())
                    .map_err(|source| missing(&kernel.symbol, source))?;
                entries.insert(kernel.name.clone(), *entry);
            }
            for constant in &compiled.interface.function_constants {
                let symbol = format!("msl_fc_{}", constant.index);
                let storage = loaded
                    .get::<*mut [u8; 16]>(symbol.as_bytes())
                    .map_err(|source| missing(&symbol, source))?;
                constants.push(FunctionConstant {
                    name: constant.name.clone(),
                    index: constant.index,
                    storage: *storage,
                });
            }
        }
        let interface = compiled.interface.clone();
        Ok(Self {
            interface,
            debugger,
            entries,
            constants,
            threadgroup_limit: LIMIT_BYTES,
            turn: RwLock::new(()),
            _loaded: loaded,
        })
    }

    /// What is in it.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Whether it was compiled with checks.
    pub fn is_checked(&self) -> bool {
        self.debugger.is_some()
    }

    /// Runs a dispatch to its end.
    ///
    /// # Errors
    ///
    /// If the dispatch does not fit the kernel, or the kernel makes a mistake that is found. What the buffers hold is
    /// undefined then; the library and the process are fine.
    pub fn run(&self, dispatch: &Dispatch<'_>, mode: &Mode) -> Result<Counts, Box<Fault>> {
        let refuse = |message| Fault::before_launch(FaultKind::Dispatch, &dispatch.kernel, message);
        let kernel = self.kernel(&dispatch.kernel).map_err(refuse)?;
        let mut plan = self.plan(kernel, dispatch, mode)?;
        let inline = InlineConstants::place(dispatch, &mut plan);
        let _turn = self.set_constants(dispatch, &mut plan).map_err(refuse)?;
        let order = Shuffled::new(mode.schedule, plan.threadgroup_count());
        let result = match &self.debugger {
            Some(debugger) => run_checked(kernel, dispatch, plan, order, Arc::clone(debugger)),
            None => pool::run(Run::new(plan, order), mode.workers.max(1)),
        };
        drop(inline);
        result.map_err(|found| self.fault(found, dispatch, mode))
    }

    fn fault(&self, found: Found, dispatch: &Dispatch<'_>, mode: &Mode) -> Box<Fault> {
        let mistake = found.mistake;
        let mut lines = self.lines(&mistake.frames).into_iter();
        Box::new(Fault {
            kind: mistake.kind,
            message: mistake.message,
            kernel: dispatch.kernel.clone(),
            location: lines.next(),
            callers: lines.collect(),
            other_location: mistake.other.and_then(|site| self.lines(&[site]).into_iter().next()),
            threadgroup: found.threadgroup.map(|number| position_in_grid(number, dispatch.threadgroups)),
            thread: mistake.thread,
            seed: mode.schedule.seed(),
        })
    }

    /// Allows its kernels more threadgroup memory than every Apple GPU has: those that are only for others.
    ///
    /// # Panics
    /// For more than the 48 KiB that kernels of NVIDIA's GPUs have without asking.
    #[must_use]
    pub fn with_threadgroup_memory(mut self, bytes: usize) -> Self {
        assert!(bytes <= MOST_BYTES, "{bytes} bytes of threadgroup memory: {MOST_BYTES} at most");
        self.threadgroup_limit = bytes;
        self
    }

    fn lines(&self, addresses: &[usize]) -> Vec<Location> {
        self.debugger.as_ref().map_or_else(Vec::new, |debugger| debugger.kernel_lines(addresses))
    }

    fn kernel(&self, name: &str) -> Result<&EntryPoint, String> {
        self.interface.entry_point(name).ok_or_else(|| {
            let all = &self.interface.entry_points;
            let names: Vec<&str> = all.iter().map(|kernel| kernel.name.as_str()).collect();
            format!("the library has no kernel `{name}`; it has {}", names.join(", "))
        })
    }

    fn plan(&self, kernel: &EntryPoint, dispatch: &Dispatch<'_>, mode: &Mode) -> Result<Plan, Box<Fault>> {
        limits::check(kernel, dispatch)?;
        let mut buffers = [std::ptr::null_mut(); SLOTS];
        for (index, binding) in &dispatch.arguments {
            if let Binding::Buffer(buffer) = binding {
                buffers[*index as usize] = buffer.start.cast::<c_void>();
            }
        }
        let mut threadgroup_bytes = [0; SLOTS];
        for &(index, bytes) in &dispatch.threadgroup_memory {
            threadgroup_bytes[index as usize] = bytes;
        }
        Ok(Plan {
            entry: self.entries[&kernel.name],
            buffers,
            threadgroup_bytes,
            threadgroup_limit: self.threadgroup_limit,
            threadgroups: dispatch.threadgroups,
            threads: dispatch.threads,
            seed: mode.schedule.seed(),
            constants_defined: Vec::new(),
            checked: self.is_checked(),
        })
    }

    /// Sets the function constants, and keeps dispatches with other ones out.
    fn set_constants(&self, dispatch: &Dispatch<'_>, plan: &mut Plan) -> Result<Turn<'_>, String> {
        if self.constants.is_empty() && dispatch.constants.is_empty() {
            return Ok(Turn::Shared { _turn: self.turn.read().unwrap_or_else(PoisonError::into_inner) });
        }
        let turn = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        for constant in &self.constants {
            // SAFETY: the storage is 16 bytes of the loaded library, and `turn` keeps everybody else away.
            unsafe { constant.storage.write([0; 16]) };
        }
        for (name, value) in &dispatch.constants {
            let Some(constant) = self.constants.iter().find(|constant| constant.name == *name) else {
                return Err(format!("the library has no function constant `{name}`"));
            };
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&value.bytes());
            // SAFETY: as above.
            unsafe { constant.storage.write(bytes) };
            plan.constants_defined.push(constant.index);
        }
        Ok(Turn::Alone { _turn: turn })
    }
}

/// Runs a dispatch on copies of its buffers, and watches it.
fn run_checked(
    kernel: &EntryPoint,
    dispatch: &Dispatch<'_>,
    mut plan: Plan,
    order: Shuffled,
    debugger: Arc<Debugger>,
) -> Result<Counts, Found> {
    let unlucky = |mistake| Found { mistake, threadgroup: None };
    let staging = Staging::new(kernel, dispatch, &mut plan.buffers).map_err(unlucky)?;
    let checker = Box::new(Checker::new(staging, debugger, dispatch.threadgroups).map_err(unlucky)?);
    let (counts, checker) = pool::run_checked(&Run::new(plan, order), checker)?;
    if let Some(checker) = checker {
        checker.staging.copy_back();
    }
    Ok(counts)
}

/// The right to run a dispatch with the function constants as they are.
enum Turn<'a> {
    Shared { _turn: std::sync::RwLockReadGuard<'a, ()> },
    Alone { _turn: std::sync::RwLockWriteGuard<'a, ()> },
}

/// The functions that libraries are bound to.
static BOUND: Table = TABLE;

/// Copies of inline constants, aligned as a GPU has them.
struct InlineConstants {
    _copies: Vec<Vec<u128>>,
}

impl InlineConstants {
    fn place(dispatch: &Dispatch<'_>, plan: &mut Plan) -> Self {
        let mut copies = Vec::new();
        for (index, binding) in &dispatch.arguments {
            let Binding::Bytes(bytes) = binding else { continue };
            let mut copy: Vec<u128> = Vec::with_capacity(bytes.len().div_ceil(16));
            copy.extend(bytes.chunks(16).map(|chunk| {
                let mut word = [0; 16];
                word[..chunk.len()].copy_from_slice(chunk);
                u128::from_ne_bytes(word)
            }));
            plan.buffers[*index as usize] = copy.as_mut_ptr().cast();
            copies.push(copy);
        }
        Self { _copies: copies }
    }
}
