//! GPU timestamps around each kernel.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::time::Duration;

use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_foundation::NSRange;
use objc2_metal::{
    MTLCommonCounterSetTimestamp, MTLComputePassDescriptor, MTLCounterResultTimestamp,
    MTLCounterSampleBuffer, MTLCounterSampleBufferDescriptor, MTLCounterSamplingPoint, MTLCounterSet,
    MTLDevice, MTLStorageMode,
};

use super::Object;
use crate::device::{Command, Kernel};

/// Samples in one buffer: Metal's limit of 32 KiB, at 8 bytes.
const SAMPLES: usize = 4096;

/// Two samples for each dispatch of a submission.
pub struct Timestamps {
    buffers: Vec<Object<dyn MTLCounterSampleBuffer>>,
    /// The kernels in the order of their dispatch.
    kernels: RefCell<Vec<Kernel>>,
    /// Both clocks when it began.
    begun: Clocks,
}

/// The two clocks at one moment.
#[derive(Clone, Copy)]
struct Clocks {
    cpu: u64,
    gpu: u64,
}

impl Timestamps {
    /// Room for every dispatch; `None` where the GPU can't sample at the borders of encoders.
    pub fn new(device: &ProtocolObject<dyn MTLDevice>, commands: &[Command]) -> Option<Timestamps> {
        if !device.supportsCounterSampling(MTLCounterSamplingPoint::AtStageBoundary) {
            return None;
        }
        // SAFETY: a constant of the framework.
        let wanted = unsafe { MTLCommonCounterSetTimestamp };
        let set = device.counterSets()?.into_iter().find(|set| *set.name() == *wanted)?;
        let dispatches = commands.iter().filter(|command| matches!(command, Command::Dispatch(_))).count();
        let descriptor = MTLCounterSampleBufferDescriptor::new();
        descriptor.setCounterSet(Some(&set));
        descriptor.setStorageMode(MTLStorageMode::Shared);
        // SAFETY: within Metal's limit.
        unsafe { descriptor.setSampleCount(SAMPLES) };
        let buffers = (0..(2 * dispatches).div_ceil(SAMPLES))
            .map(|_| device.newCounterSampleBufferWithDescriptor_error(&descriptor).ok());
        Some(Timestamps {
            buffers: buffers.collect::<Option<_>>()?,
            kernels: RefCell::default(),
            begun: Clocks::now(device),
        })
    }

    /// A pass that takes the next two samples.
    pub fn pass(&self, kernel: Kernel) -> Option<Retained<MTLComputePassDescriptor>> {
        let first = 2 * self.kernels.borrow().len();
        self.kernels.borrow_mut().push(kernel);
        let pass = MTLComputePassDescriptor::computePassDescriptor();
        // SAFETY: attachment 0 exists, and both samples are within the buffer: an even number of them fits.
        unsafe {
            let attachment = pass.sampleBufferAttachments().objectAtIndexedSubscript(0);
            attachment.setSampleBuffer(Some(self.buffers.get(first / SAMPLES)?));
            attachment.setStartOfEncoderSampleIndex(first % SAMPLES);
            attachment.setEndOfEncoderSampleIndex(first % SAMPLES + 1);
        }
        Some(pass)
    }

    /// Seconds of each dispatch, once the submission has ended.
    pub fn resolve(&self, device: &ProtocolObject<dyn MTLDevice>) -> Vec<(Kernel, f64)> {
        let tick = self.begun.seconds_per_tick(Clocks::now(device));
        let kernels = self.kernels.borrow();
        let mut samples = Vec::with_capacity(2 * kernels.len());
        for (index, buffer) in self.buffers.iter().enumerate() {
            // Products of the system's library take no samples, so the last buffers may be empty.
            let count = (2 * kernels.len()).saturating_sub(index * SAMPLES).min(SAMPLES);
            if count == 0 {
                break;
            }
            // SAFETY: the range is within the buffer, and its submission has ended.
            let Some(data) = (unsafe { buffer.resolveCounterRange(NSRange::new(0, count)) }) else {
                return Vec::new();
            };
            let bytes = data.to_vec();
            let sample = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
            samples.extend(bytes.chunks_exact(size_of::<MTLCounterResultTimestamp>()).map(sample));
        }
        let seconds = |pair: &[u64]| pair[1].saturating_sub(pair[0]) as f64 * tick;
        kernels.iter().copied().zip(samples.chunks_exact(2).map(seconds)).collect()
    }
}

impl Clocks {
    fn now(device: &ProtocolObject<dyn MTLDevice>) -> Clocks {
        let mut clocks = Clocks { cpu: 0, gpu: 0 };
        // SAFETY: both pointers are to numbers that live through the call.
        unsafe {
            device.sampleTimestamps_gpuTimestamp(
                NonNull::from(&mut clocks.cpu),
                NonNull::from(&mut clocks.gpu),
            );
        }
        clocks
    }

    /// The GPU's tick, by the time that the processor's clock (nanoseconds) saw pass.
    fn seconds_per_tick(self, later: Clocks) -> f64 {
        let cpu = Duration::from_nanos(later.cpu.saturating_sub(self.cpu)).as_secs_f64();
        match later.gpu.saturating_sub(self.gpu) {
            0 => 1e-9,
            ticks => cpu / ticks as f64,
        }
    }
}
