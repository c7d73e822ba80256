//! GPUs that add up what each of them has, by NVIDIA's NCCL, where it is installed.

#![allow(unsafe_code, reason = "NCCL is a C library")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use libloading::Library;

use super::driver::{Allocation, Context, Stream};
use crate::collective::Group;
use crate::device::DeviceError;
use crate::meeting::Meeting;

/// The names of the library. It calls itself the first; packages for developers have the second too.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// What is said where there is none of these.
const MISSING: &str = "NVIDIA's NCCL (the library libnccl.so.2) is not installed, or not where libraries are looked for: \
    the package libnccl2 of NVIDIA's repository has it, and so has `pip install nvidia-nccl-cu13`, whose folder \
    nvidia/nccl/lib then goes into LD_LIBRARY_PATH";
/// Elements of the sums that a new group is tried with, so that the library connects the GPUs for small ones and large ones.
const TRIALS: [usize; 4] = [1 << 8, 1 << 14, 1 << 18, 1 << 22];
/// How long the one who ends a group waits for another thread to come back from the library. It nearly always comes at once;
/// where it can't, because it waits itself for a GPU that waits for the group, it has to be ended beside it.
const PATIENCE: Duration = Duration::from_secs(1);

/// `ncclSuccess`.
const SUCCESS: c_int = 0;
/// `ncclFloat32`.
const FLOAT32: c_int = 7;
/// `ncclSum`.
const SUM: c_int = 0;

/// `ncclComm_t`: one GPU's membership of a group.
#[derive(Debug, Clone, Copy)]
struct Member(*mut c_void);

// SAFETY: NCCL's handles belong to no thread. `Communicators` sees to it that one thread at a time uses one.
unsafe impl Send for Member {}
// SAFETY: as above.
unsafe impl Sync for Member {}

type InitAll = unsafe extern "C" fn(*mut *mut c_void, c_int, *const c_int) -> c_int;
type AllReduce =
    unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, *mut c_void, *mut c_void) -> c_int;
type OfMember = unsafe extern "C" fn(*mut c_void) -> c_int;
type OfThread = unsafe extern "C" fn() -> c_int;
type ErrorString = unsafe extern "C" fn(c_int) -> *const c_char;

/// What is used of the library.
#[derive(Clone, Copy)]
struct Functions {
    init_all: InitAll,
    all_reduce: AllReduce,
    destroy: OfMember,
    abort: OfMember,
    group_start: OfThread,
    group_end: OfThread,
    error_string: ErrorString,
}

impl Functions {
    /// Loads the library, which then stays: its threads may outlive any group.
    fn load() -> Result<Functions, String> {
        // SAFETY: the library's own initialisation is all that runs, as in any program that is linked with it.
        let found = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
        let library: &'static Library = Box::leak(Box::new(found.ok_or(MISSING)?));
        // SAFETY: the types are those of nccl.h of NCCL 2 (its enums are ints), under whose name the library was found.
        unsafe {
            Ok(Functions {
                init_all: *symbol(library, "ncclCommInitAll")?,
                all_reduce: *symbol(library, "ncclAllReduce")?,
                destroy: *symbol(library, "ncclCommDestroy")?,
                abort: *symbol(library, "ncclCommAbort")?,
                group_start: *symbol(library, "ncclGroupStart")?,
                group_end: *symbol(library, "ncclGroupEnd")?,
                error_string: *symbol(library, "ncclGetErrorString")?,
            })
        }
    }

    /// What the library answers, with its own words.
    fn checked(&self, what: &str, answer: c_int) -> Result<(), String> {
        if answer == SUCCESS {
            return Ok(());
        }
        // SAFETY: gives a static text for any number.
        let words = unsafe { CStr::from_ptr((self.error_string)(answer)) };
        Err(format!("NCCL's {what}: {} (NCCL_DEBUG=WARN has it say more)", words.to_string_lossy()))
    }
}

/// # Safety
/// The symbol is of type `T`.
unsafe fn symbol<T>(library: &'static Library, name: &str) -> Result<libloading::Symbol<'static, T>, String> {
    // SAFETY: of the caller.
    unsafe { library.get(name.as_bytes()) }.map_err(|_| format!("the NCCL that is installed has no {name}"))
}

/// The GPUs of a group, which add up what each of them has.
pub struct Communicators {
    functions: Functions,
    members: Vec<Member>,
    /// `[ranks]`: held while a thread is in the library for this rank.
    inside: Vec<Mutex<()>>,
    /// Where their threads wait for each other.
    meeting: Meeting,
    abandoned: AtomicBool,
    /// The members' GPUs, which stay open as long as there are members.
    contexts: Vec<Arc<Context>>,
}

impl Communicators {
    /// A group of GPUs by the driver's numbers, each with the stream that its work goes to. Sums are tried, which connects
    /// the GPUs.
    ///
    /// # Errors
    /// [`DeviceError::Group`] where there is no NCCL, or it does not add up.
    pub fn new(gpus: &[(u32, &Arc<Context>, &Stream)]) -> Result<Arc<Communicators>, DeviceError> {
        let named: Vec<String> = gpus.iter().map(|(number, ..)| format!("cuda:{number}")).collect();
        let failed = |reason: String| DeviceError::Group { devices: named.join(" and "), reason };
        let functions = Functions::load().map_err(failed)?;
        let numbers: Vec<c_int> = gpus.iter().map(|&(number, ..)| number as c_int).collect();
        let mut members = vec![std::ptr::null_mut(); gpus.len()];
        // SAFETY: there is a place for each of the numbers, which name GPUs that were opened.
        let answer =
            unsafe { (functions.init_all)(members.as_mut_ptr(), numbers.len() as c_int, numbers.as_ptr()) };
        functions.checked("ncclCommInitAll", answer).map_err(failed)?;
        let group = Communicators {
            functions,
            members: members.into_iter().map(Member).collect(),
            inside: gpus.iter().map(|_| Mutex::new(())).collect(),
            meeting: Meeting::new(gpus.len()),
            abandoned: AtomicBool::new(false),
            contexts: gpus.iter().map(|(_, context, _)| Arc::clone(context)).collect(),
        };
        group.connect(gpus)?.map_err(failed)?;
        Ok(Arc::new(group))
    }

    /// Adds up ones, in one thread for all GPUs.
    fn connect(&self, gpus: &[(u32, &Arc<Context>, &Stream)]) -> Result<Result<(), String>, DeviceError> {
        let most = TRIALS.iter().copied().max().unwrap_or(0);
        let ones = vec![1.0_f32; most];
        let memory = gpus.iter().map(|(_, context, _)| Allocation::new(context, 4 * most));
        let memory: Option<Vec<Allocation>> = memory.collect::<Result<_, _>>()?;
        let Some(memory) = memory else {
            return Ok(Err(format!("there are no {} bytes of memory left on each", 4 * most)));
        };
        for elements in TRIALS {
            for ((_, _, stream), memory) in gpus.iter().zip(&memory) {
                stream.copy_in(memory.address(), bytemuck::cast_slice(&ones[..elements]))?;
                stream.synchronize()?;
            }
            if let Err(reason) = self.add_up_together(gpus, &memory, elements) {
                return Ok(Err(reason));
            }
            for ((number, _, stream), memory) in gpus.iter().zip(&memory) {
                let mut sums = vec![0.0_f32; elements];
                stream.copy_out(bytemuck::cast_slice_mut(&mut sums), memory.address())?;
                if let Some(wrong) = sums.iter().find(|sum| **sum != gpus.len() as f32) {
                    let count = gpus.len();
                    return Ok(Err(format!("NCCL's sum of {count} ones is {wrong} on cuda:{number}")));
                }
            }
        }
        Ok(Ok(()))
    }

    fn add_up_together(
        &self,
        gpus: &[(u32, &Arc<Context>, &Stream)],
        memory: &[Allocation],
        elements: usize,
    ) -> Result<(), String> {
        let functions = &self.functions;
        // SAFETY: a group of calls is of this thread, and ended below whatever comes of them.
        functions.checked("ncclGroupStart", unsafe { (functions.group_start)() })?;
        let added: Result<Vec<()>, String> = (0..gpus.len())
            .map(|rank| self.enqueue(rank, memory[rank].address(), elements, gpus[rank].2))
            .collect();
        // SAFETY: begun above.
        let ended = functions.checked("ncclGroupEnd", unsafe { (functions.group_end)() });
        added.and(ended)
    }

    fn enqueue(&self, rank: usize, address: u64, elements: usize, stream: &Stream) -> Result<(), String> {
        let (values, Member(member)) = (address as *mut c_void, self.members[rank]);
        // SAFETY: the memory of so many f32 is on the member's GPU, as is the stream, and lives until the stream's work is
        // done; the member has not been ended, see `all_reduce` and `connect`.
        let answer = unsafe {
            (self.functions.all_reduce)(values, values, elements, FLOAT32, SUM, member, stream.handle())
        };
        self.functions.checked("ncclAllReduce", answer)
    }

    /// Puts a sum of `elements` f32 at `address` into a rank's stream.
    pub fn all_reduce(
        &self,
        rank: usize,
        address: u64,
        elements: usize,
        stream: &Stream,
    ) -> Result<(), DeviceError> {
        let kernel = || "NCCL's all-reduce".to_owned();
        stream.context.make_current()?;
        // Held for the call only.
        let _inside = self.inside[rank].lock().unwrap_or_else(PoisonError::into_inner);
        if self.abandoned.load(Ordering::Acquire) {
            return Err(DeviceError::Launch {
                kernel: kernel(),
                reason: "another GPU has failed".to_owned(),
            });
        }
        self.enqueue(rank, address, elements, stream)
            .map_err(|reason| DeviceError::Launch { kernel: kernel(), reason })
    }

    /// Waits for the threads of all ranks.
    pub fn meet(&self, rank: usize) -> Result<(), DeviceError> {
        let failed = |_| DeviceError::Group {
            devices: "the GPUs".to_owned(),
            reason: "one of them has failed".to_owned(),
        };
        self.meeting.add_up(rank, Vec::new()).map(drop).map_err(failed)
    }

    /// Waits until no thread is in the library for a rank, as long as that makes sense.
    fn wait_outside(&self, rank: usize) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.inside[rank].try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
                Ok(_) | Err(TryLockError::Poisoned(_)) => return,
            }
        }
    }
}

impl Group for Communicators {
    /// The sums that GPUs wait in end with whatever they have. The library then waits until nothing refers to the group, such
    /// as graphs, so it does that in threads of its own.
    fn abandon(&self) {
        if self.abandoned.swap(true, Ordering::AcqRel) {
            return;
        }
        self.meeting.abandon();
        (0..self.members.len()).for_each(|rank| self.wait_outside(rank));
        for member in self.members.clone() {
            let (abort, contexts) = (self.functions.abort, self.contexts.clone());
            let end = move || {
                // The whole of it, which may go to another thread; its pointer alone may not.
                let Member(member) = { member };
                // SAFETY: nobody uses the member any longer, since all look at `abandoned` first. The library allows this
                // call beside one that is stuck in it.
                let _ = unsafe { abort(member) };
                drop(contexts);
            };
            // Without a thread the GPUs go on waiting, which only the end of the program ends.
            let _ = std::thread::Builder::new().name("nccl-abort".to_owned()).spawn(end);
        }
    }

    /// A ring begins with another GPU for each part of a sum.
    fn adds_in_order(&self) -> bool {
        false
    }
}

impl Drop for Communicators {
    fn drop(&mut self) {
        if *self.abandoned.get_mut() {
            return;
        }
        for Member(member) in &self.members {
            // SAFETY: the devices that hold this have ended their streams' work and dropped their graphs, and are gone.
            let _ = unsafe { (self.functions.destroy)(*member) };
        }
    }
}
