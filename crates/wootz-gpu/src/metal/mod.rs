//! The GPU of a Mac, through Metal.
//!
//! What this host does differently from a first Metal program, and why:
//! - Nothing is allocated in a step. Buffers are made at load and put in one residency set; weights are mapped
//!   files that Metal is told to use where they are.
//! - Hazard tracking is off. Barriers come from [`crate::hazards`], inside one concurrent encoder.
//! - A submission never waits. It ends by signalling a shared event, and may be several command buffers, because
//!   the system ends a command buffer that keeps the GPU from the display for long.
//! - A failed command buffer fails its own submission. If Metal refuses the queue after that, a new one is made.
//!
//! It is type-checked and linted on Linux; it has not run on a Mac yet.
#![allow(unsafe_code)]

mod encode;
mod facts;
mod library;
mod memory;
mod products;
mod queue;
mod timestamps;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_metal::{MTLCommandBuffer, MTLComputePipelineState, MTLCreateSystemDefaultDevice, MTLDevice};
use wootz_weights::MappedFile;

use crate::device::{
    BufferId, Command, Device, DeviceError, DeviceFacts, Kernel, Profile, Slice, Submission, Timing,
};
use crate::product;
use library::Libraries;
use memory::Memory;
use queue::{InFlight, Queue};

/// A Metal object behind its protocol.
type Object<T> = Retained<ProtocolObject<T>>;

/// How the device is opened.
#[derive(Debug, Clone)]
pub struct MetalSettings {
    /// Where compiled pipelines are kept between runs; `None` keeps none.
    pub cache: Option<PathBuf>,
}

impl Default for MetalSettings {
    /// The user's cache folder.
    fn default() -> MetalSettings {
        use etcetera::BaseStrategy;
        let base = etcetera::base_strategy::choose_native_strategy().ok();
        MetalSettings { cache: base.map(|base| base.cache_dir().join("wootz/metal")) }
    }
}

/// The Mac's GPU.
pub struct Metal {
    facts: DeviceFacts,
    device: Object<dyn MTLDevice>,
    memory: Memory,
    libraries: Libraries,
    pipelines: HashMap<Kernel, Object<dyn MTLComputePipelineState>>,
    queue: Queue,
    /// What has been submitted and not yet been waited for, oldest first.
    in_flight: VecDeque<InFlight>,
    submitted: u64,
}

// SAFETY: one thread at a time uses a `Metal` (its methods that change anything take `&mut self`), and none of the
// objects in it belongs to the thread that made it: Metal's documentation allows devices, queues, buffers and
// pipelines from any thread, and command buffers from one at a time.
unsafe impl Send for Metal {}

impl std::fmt::Debug for Metal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metal").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Metal {
    /// Opens the system's default GPU.
    ///
    /// # Errors
    /// When there is none, or it is older than the M1.
    pub fn open(settings: &MetalSettings) -> Result<Metal, DeviceError> {
        let absent = |reason: &str| DeviceError::Absent { device: "metal", reason: reason.into() };
        let device = MTLCreateSystemDefaultDevice()
            .ok_or_else(|| absent("this system offers no Metal GPU; use --device cpu"))?;
        let facts = facts::read(&device)?;
        let memory = Memory::new(device.clone(), &facts)?;
        let queue = Queue::new(&device, memory.residency())?;
        let libraries = Libraries::new(device.clone(), settings.cache.as_deref());
        Ok(Metal {
            facts,
            memory,
            libraries,
            queue,
            device,
            pipelines: HashMap::new(),
            in_flight: VecDeque::new(),
            submitted: 0,
        })
    }

    fn pipeline(&mut self, kernel: Kernel) -> Result<(), DeviceError> {
        if kernel.source.file != product::SYSTEM.file && !self.pipelines.contains_key(&kernel) {
            let pipeline = self.libraries.pipeline(kernel, &self.facts)?;
            self.pipelines.insert(kernel, pipeline);
        }
        Ok(())
    }

    /// Waits until nothing runs, without asking how it ended.
    fn settle(&self) {
        self.in_flight.iter().flat_map(|under_way| &under_way.buffers).for_each(|buffer| {
            buffer.waitUntilCompleted();
        });
    }

    fn fault(&self, message: String) -> DeviceError {
        DeviceError::Fault { device: self.facts.name.clone(), kernel: None, message }
    }
}

impl Drop for Metal {
    /// Command buffers use memory and pipelines without holding them, so none may outlive the device.
    fn drop(&mut self) {
        self.settle();
    }
}

impl Device for Metal {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.memory.allocate(bytes, purpose, &self.facts)
    }

    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        self.memory.map(file, &self.facts)
    }

    fn release(&mut self, buffer: BufferId) {
        self.memory.release(buffer);
    }

    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.memory.write(to, bytes)
    }

    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.memory.read(from, bytes)
    }

    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        let compiled = kernels.iter().enumerate().try_for_each(|(done, &kernel)| {
            self.pipeline(kernel)?;
            progress(done + 1);
            Ok(())
        });
        // What did compile is kept in any case.
        self.libraries.save();
        compiled
    }

    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError> {
        for command in commands {
            if let Command::Dispatch(dispatch) = command {
                self.pipeline(dispatch.kernel)?;
            }
        }
        let submission = Submission(self.submitted + 1);
        let in_flight = self.encode(commands, profile, submission)?;
        self.submitted = submission.0;
        self.in_flight.push_back(in_flight);
        Ok(submission)
    }

    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError> {
        let mut outcome = Ok(Timing::default());
        while self.in_flight.front().is_some_and(|oldest| oldest.submission <= submission) {
            let oldest = self.in_flight.pop_front().expect("there is a front");
            let ended = self.queue.finish(&oldest, &self.device);
            if oldest.submission == submission {
                outcome = ended.map_err(|failure| self.fault(failure));
            } else if let Err(failure) = ended {
                // Its own wait reports it; it is kept until then.
                self.queue.remember(oldest.submission, failure);
            }
        }
        if let Some(failure) = self.queue.recall(submission) {
            outcome = Err(self.fault(failure));
        }
        if outcome.is_err() {
            // What is still under way refers to the old fence without holding it, and must not run beside what comes.
            self.settle();
            self.queue.renew(&self.device, self.memory.residency())?;
        }
        outcome
    }
}
