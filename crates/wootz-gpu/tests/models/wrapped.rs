//! A device between a model and its device, for what tests want to change or to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wootz_gpu::device::{
    BufferId, Command, Device, DeviceError, DeviceFacts, Kernel, Profile, Slice, Submission, Timing,
};
use wootz_gpu::emulator::{Checks, Schedule};
use wootz_weights::MappedFile;

use super::fixture::emulator;

/// A device that fails when it is told to, and may say that it is another one.
pub struct Wrapped {
    pub device: Box<dyn Device>,
    pub facts: DeviceFacts,
    pub fail: Arc<AtomicBool>,
    when: Fails,
    waited: u64,
    /// The most submissions that were under way together.
    pub most: Arc<AtomicU64>,
}

/// When a submission fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// Before anything of it has begun.
    AtOnce,
    /// In the middle: a command buffer that stops has run what came before.
    InTheMiddle,
}

impl Wrapped {
    /// Around an emulator.
    pub fn new(fail: Arc<AtomicBool>) -> Wrapped {
        Wrapped::around(Box::new(emulator(Checks::Plain, Schedule::InOrder)), fail, Fails::InTheMiddle)
    }

    pub fn around(device: Box<dyn Device>, fail: Arc<AtomicBool>, when: Fails) -> Wrapped {
        Wrapped { facts: device.facts().clone(), device, fail, when, waited: 0, most: Arc::default() }
    }

    fn fault() -> DeviceError {
        let (device, message) = ("test".to_owned(), "it was told to".to_owned());
        DeviceError::Fault { device, kernel: None, message }
    }
}

impl Device for Wrapped {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }
    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.device.allocate(bytes, purpose)
    }
    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        self.device.map(file)
    }
    fn release(&mut self, buffer: BufferId) {
        self.device.release(buffer);
    }
    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.device.write(to, bytes)
    }
    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read(from, bytes)
    }
    fn read_idle(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read_idle(from, bytes)
    }
    fn write_idle(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.device.write_idle(to, bytes)
    }
    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        self.device.prepare(kernels, progress)
    }
    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError> {
        let count = match (self.fail.load(Ordering::Relaxed), self.when) {
            (false, _) => commands.len(),
            (true, Fails::InTheMiddle) => commands.len() / 2,
            (true, Fails::AtOnce) => return Err(Wrapped::fault()),
        };
        let submission = self.device.submit(&commands[..count], profile)?;
        self.most.fetch_max(submission.0 + 1 - self.waited, Ordering::Relaxed);
        Ok(submission)
    }
    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError> {
        let outcome = self.device.wait(submission);
        self.waited = self.waited.max(submission.0 + 1);
        let failed = self.when == Fails::InTheMiddle && self.fail.swap(false, Ordering::Relaxed);
        if failed { Err(Wrapped::fault()) } else { outcome }
    }
}

/// An emulator that says of itself that its kernels hold factors in registers, as NVIDIA's GPUs do.
pub fn packing_device() -> Box<Wrapped> {
    let mut device = Wrapped::new(Arc::default());
    device.facts.register_factors = true;
    device.facts.warpgroup_products = true;
    device.facts.cores = Some(4);
    Box::new(device)
}
