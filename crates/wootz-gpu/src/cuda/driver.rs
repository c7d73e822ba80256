//! The driver's objects, each freed with its owner. All calls into the driver are here.

#![allow(unsafe_code, reason = "the driver is a C library")]

use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use crate::device::DeviceError;

/// The name in errors about a GPU that is not there.
const NAME: &str = "CUDA";
/// The first compute capability whose launches can begin while the one before still runs, and the first driver whose graphs
/// can say so.
const OVERLAPPING: (u8, i32) = (90, 12_030);
/// The least compute capability that programs are compiled for (`msl::ptx`): Ampere's.
const OLDEST: u8 = 80;

/// An error of the driver, while something ran or was asked for.
pub fn fault(error: DriverError) -> DeviceError {
    let message = error
        .error_string()
        .map_or_else(|_| format!("{error:?}"), |text| text.to_string_lossy().into_owned());
    DeviceError::Fault { device: NAME.to_owned(), kernel: None, message }
}

/// A GPU's primary context, current on the thread that uses it.
#[derive(Debug)]
pub struct Context {
    device: sys::CUdevice,
    context: sys::CUcontext,
    overlapping: bool,
}

// SAFETY: a context may be used from any thread on which it is current; `make_current` sees to that before each use.
unsafe impl Send for Context {}
// SAFETY: as above; the driver serialises calls into one context.
unsafe impl Sync for Context {}

/// What a GPU is.
pub struct Properties {
    /// Its name.
    pub name: String,
    /// Compute capability: 90 is Hopper.
    pub capability: u8,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// The driver's CUDA version: 12080 is 12.8.
    pub driver: i32,
}

fn absent(error: DriverError) -> DeviceError {
    match fault(error) {
        DeviceError::Fault { message, .. } => DeviceError::Absent { device: NAME, reason: message },
        other => other,
    }
}

/// How many GPUs the driver shows.
fn count() -> Result<u32, DeviceError> {
    // SAFETY: asks the loader only.
    if !unsafe { sys::is_culib_present() } {
        let reason = "NVIDIA's driver (the library libcuda) is not installed".to_owned();
        return Err(DeviceError::Absent { device: NAME, reason });
    }
    result::init().map_err(absent)?;
    let count = result::device::get_count().map_err(absent)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// Whether there is a GPU of this number, and it is one that the kernels are compiled for.
pub fn has(number: u32) -> bool {
    device(number).is_ok()
}

/// The GPU of a number.
fn device(number: u32) -> Result<sys::CUdevice, DeviceError> {
    let count = count()?;
    let refused = |reason| Err(DeviceError::Absent { device: NAME, reason });
    let Some(ordinal) = i32::try_from(number).ok().filter(|_| number < count) else {
        return refused(format!("GPU {number} was asked for, and the driver shows {count}, counted from 0"));
    };
    let device = result::device::get(ordinal).map_err(absent)?;
    match capability(device).map_err(absent)? {
        found if found >= OLDEST => Ok(device),
        found => refused(format!(
            "GPU {number} has compute capability {}.{}, and the kernels are for {}.{} and later",
            found / 10,
            found % 10,
            OLDEST / 10,
            OLDEST % 10
        )),
    }
}

/// A GPU's compute capability: 90 is Hopper.
fn capability(device: sys::CUdevice) -> Result<u8, DriverError> {
    use sys::CUdevice_attribute_enum as Attribute;
    // SAFETY: the device is one that the driver has named.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(u8::try_from(10 * major + minor).unwrap_or(0))
}

impl Context {
    /// The context of the GPU of a number.
    pub fn open(number: u32) -> Result<Self, DeviceError> {
        let device = device(number)?;
        // SAFETY: the device is one that the driver has just named.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(absent)?;
        let mut opened = Self { device, context, overlapping: false };
        opened.make_current()?;
        let Properties { capability, driver, .. } = opened.properties()?;
        opened.overlapping = capability >= OVERLAPPING.0 && driver >= OVERLAPPING.1;
        Ok(opened)
    }

    /// Makes it the context of this thread's calls.
    pub fn make_current(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained until this is dropped.
        unsafe { result::ctx::set_current(self.context) }.map_err(fault)
    }

    /// Whether a launch in a graph can begin while the one before still runs: kernels say where they wait.
    pub fn overlapping(&self) -> bool {
        self.overlapping
    }

    /// What the GPU is.
    pub fn properties(&self) -> Result<Properties, DeviceError> {
        let processors = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        // SAFETY: the device is one that the driver has named.
        let multiprocessors =
            unsafe { result::device::get_attribute(self.device, processors) }.map_err(fault)?;
        let mut driver = 0;
        // SAFETY: writes one integer.
        unsafe { sys::cuDriverGetVersion(&mut driver) }.result().map_err(fault)?;
        Ok(Properties {
            name: result::device::get_name(self.device).map_err(fault)?,
            capability: capability(self.device).map_err(fault)?,
            multiprocessors: u32::try_from(multiprocessors).unwrap_or(0),
            // SAFETY: as above.
            memory: unsafe { result::device::total_mem(self.device) }.map_err(fault)? as u64,
            driver,
        })
    }

    /// Bytes of memory that could still be had.
    pub fn free_memory(&self) -> Result<u64, DeviceError> {
        self.make_current()?;
        Ok(result::mem_get_info().map_err(fault)?.0 as u64)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, released once; nothing made in it is left.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Device memory.
#[derive(Debug)]
pub struct Allocation {
    address: sys::CUdeviceptr,
    context: Arc<Context>,
}

impl Allocation {
    /// So many bytes; `None` where they can't be had.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Option<Self>, DeviceError> {
        context.make_current()?;
        // SAFETY: the memory is freed once, when this is dropped.
        match unsafe { result::malloc_sync(bytes.max(1)) } {
            Ok(address) => Ok(Some(Self { address, context: context.clone() })),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Where it begins.
    pub fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: allocated once, freed once; the owner has waited for the kernels that use it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// A sequence of work: each piece begins when the one before it has ended.
#[derive(Debug)]
pub struct Stream {
    pub(super) stream: sys::CUstream,
    pub(super) context: Arc<Context>,
}

// SAFETY: the driver's handles may be used from any thread with the context current.
unsafe impl Send for Stream {}

impl Stream {
    /// A stream that waits for no other.
    pub fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        context.make_current()?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(fault)?;
        Ok(Self { stream, context: context.clone() })
    }

    /// The driver's handle, for libraries that put work into it.
    pub fn handle(&self) -> *mut c_void {
        self.stream.cast()
    }

    /// Copies bytes to the device, in the order of the stream. They are taken before it returns.
    pub fn copy_in(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: the caller has checked that the device's range is there. From memory that is not pinned, the driver has
        // taken the bytes when the call returns.
        unsafe { result::memcpy_htod_async(to, bytes, self.stream) }.map_err(fault)
    }

    /// Copies bytes from the device, after what the stream holds.
    pub fn copy_out(&self, bytes: &mut [u8], from: u64) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: the caller has checked that the device's range is there; it is waited for before the borrow ends.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.stream) }.map_err(fault)?;
        self.synchronize()
    }

    /// Notes in `event` when what the stream holds so far has ended.
    pub fn record(&self, event: &Event) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: both belong to this context.
        unsafe { result::event::record(event.event, self.stream) }.map_err(fault)
    }

    /// What is put into it from now on waits for `event`.
    pub fn wait(&self, event: &Event) -> Result<(), DeviceError> {
        self.context.make_current()?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both belong to this context.
        unsafe { result::stream::wait_event(self.stream, event.event, flags) }.map_err(fault)
    }

    /// Waits for everything in it.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: the stream lives as long as this.
        unsafe { result::stream::synchronize(self.stream) }.map_err(fault)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
    }
}

/// A moment in a stream.
#[derive(Debug)]
pub struct Event {
    event: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: as for `Stream`.
unsafe impl Send for Event {}

impl Event {
    /// One that was not recorded yet.
    pub fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        context.make_current()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).map_err(fault)?;
        Ok(Self { event, context: context.clone() })
    }

    /// Waits until it has come.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: the event lives as long as this.
        unsafe { result::event::synchronize(self.event) }.map_err(fault)
    }

    /// Seconds between two that have come.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64, DeviceError> {
        self.context.make_current()?;
        // SAFETY: both live, and were recorded in one stream.
        let milliseconds = unsafe { result::event::elapsed(earlier.event, self.event) }.map_err(fault)?;
        Ok(f64::from(milliseconds) / 1000.0)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}

/// How much threadgroup memory a core should set aside, in percent of the most that it can have; the rest is its first-level
/// cache. A core has to run empty before it divides its memory in another way, so where launches begin while others run, all
/// of them want the same: on an H200 one sequence of an 8B model gave 576 tokens/s with 15, 30 and 50, 546 when the driver chose for
/// each kernel, and 536 with 100, since inputs are read through the cache. Sixteen sequences gave most with 30.
const SHARED_MEMORY_PERCENT: i32 = 30;

/// Compiled code on the device.
#[derive(Debug)]
pub struct Module {
    module: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: as for `Stream`.
unsafe impl Send for Module {}

impl Module {
    /// Compiles PTX; the error is the compiler's text.
    pub fn new(context: &Arc<Context>, text: &str) -> Result<Self, String> {
        let words = |error: DeviceError| error.to_string();
        context.make_current().map_err(words)?;
        let text = CString::new(text).map_err(|_| "the program holds a zero byte".to_owned())?;
        let mut log = vec![0u8; 16 << 10];
        let mut options = [
            sys::CUjit_option_enum::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option_enum::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
        let mut module = std::ptr::null_mut();
        // SAFETY: the text ends with a zero byte, there are two options and two values, and the log outlives the call.
        let outcome = unsafe {
            sys::cuModuleLoadDataEx(
                &mut module,
                text.as_ptr().cast::<c_void>(),
                2,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        match outcome.result() {
            Ok(()) => Ok(Self { module, context: context.clone() }),
            Err(error) => {
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
                Err(format!("{}: {}", words(fault(error)), String::from_utf8_lossy(&log[..end])))
            }
        }
    }

    /// A kernel in it.
    pub fn function(&self, symbol: &str) -> Result<Entry, String> {
        self.context.make_current().map_err(|error| error.to_string())?;
        let name = CString::new(symbol).map_err(|_| "a name holds a zero byte".to_owned())?;
        // SAFETY: the module is loaded.
        let function = unsafe { result::module::get_function(self.module, name) }
            .map_err(|error| fault(error).to_string())?;
        if self.context.overlapping() {
            let preference =
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
            // SAFETY: the function was found above. It is a wish, and a kernel runs without it too.
            let _ = unsafe { sys::cuFuncSetAttribute(function, preference, SHARED_MEMORY_PERCENT) };
        }
        Ok(Entry(function))
    }
}

/// A kernel of a module that is loaded.
#[derive(Debug)]
pub struct Entry(pub(super) sys::CUfunction);

// SAFETY: as for `Stream`.
unsafe impl Send for Entry {}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: loaded once, unloaded once; its kernels have ended.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}
