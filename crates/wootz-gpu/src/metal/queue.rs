//! Command buffers under way: how they end, how long they took, and what happens when one fails.

use std::cell::Cell;
use std::collections::BTreeMap;

use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_foundation::NSError;
use objc2_metal::{
    MTLCommandBuffer, MTLCommandBufferError, MTLCommandBufferStatus, MTLCommandQueue, MTLDevice, MTLEvent,
    MTLFence, MTLResidencySet, MTLSharedEvent,
};

use super::Object;
use super::timestamps::Timestamps;
use crate::device::{DeviceError, Submission, Timing};

/// How long one look at the event lasts before the command buffers are asked whether they failed, which does
/// not signal it.
const PATIENCE_MILLISECONDS: u64 = 100;

/// What is submitted to.
pub struct Queue {
    pub queue: Object<dyn MTLCommandQueue>,
    /// Signalled with a submission's number when its last command buffer is done.
    pub done: Object<dyn MTLSharedEvent>,
    /// Orders the encoders of different command buffers, as barriers do within one.
    pub fence: Object<dyn MTLFence>,
    /// Orders the system's own encoders with ours within a command buffer, by a value that counts up.
    order: Object<dyn MTLEvent>,
    ordered: Cell<u64>,
    /// Failures of submissions that have not been waited for yet.
    failures: BTreeMap<Submission, String>,
}

/// A submission under way.
pub struct InFlight {
    pub submission: Submission,
    pub buffers: Vec<Object<dyn MTLCommandBuffer>>,
    pub timestamps: Option<Timestamps>,
    /// Signalled with its number when it is done: its queue's event, which outlives the queue for its sake.
    pub done: Object<dyn MTLSharedEvent>,
}

impl Queue {
    pub fn new(
        device: &ProtocolObject<dyn MTLDevice>,
        residency: Option<&ProtocolObject<dyn MTLResidencySet>>,
    ) -> Result<Queue, DeviceError> {
        let refused = |what: &str| DeviceError::Absent {
            device: "metal",
            reason: format!("{} makes no {what}", device.name()),
        };
        let queue = device.newCommandQueue().ok_or_else(|| refused("command queue"))?;
        if let Some(set) = residency {
            queue.addResidencySet(set);
        }
        Ok(Queue {
            queue,
            done: device.newSharedEvent().ok_or_else(|| refused("shared event"))?,
            fence: device.newFence().ok_or_else(|| refused("fence"))?,
            order: device.newEvent().ok_or_else(|| refused("event"))?,
            ordered: Cell::new(0),
            failures: BTreeMap::new(),
        })
    }

    /// Lets nothing that is encoded from here on begin before all that was encoded is done.
    pub fn order(&self, buffer: &ProtocolObject<dyn MTLCommandBuffer>) {
        self.ordered.set(self.ordered.get() + 1);
        buffer.encodeSignalEvent_value(&self.order, self.ordered.get());
        buffer.encodeWaitForEvent_value(&self.order, self.ordered.get());
    }

    /// Waits for a submission's end: its timing, or what went wrong.
    pub fn finish(
        &self,
        in_flight: &InFlight,
        device: &ProtocolObject<dyn MTLDevice>,
    ) -> Result<Timing, String> {
        let InFlight { submission, buffers, done, .. } = in_flight;
        while !done.waitUntilSignaledValue_timeoutMS(submission.0, PATIENCE_MILLISECONDS) {
            // One that failed signals nothing, and the system ends those after it.
            if buffers.iter().any(|buffer| buffer.status() == MTLCommandBufferStatus::Error) {
                break;
            }
        }
        let mut seconds = 0.0;
        for buffer in buffers {
            // The event is signalled a moment before the status says so.
            buffer.waitUntilCompleted();
            if buffer.status() == MTLCommandBufferStatus::Error {
                return Err(explain(buffer.error()));
            }
            seconds += buffer.GPUEndTime() - buffer.GPUStartTime();
        }
        let kernels = in_flight.timestamps.as_ref().map(|timestamps| timestamps.resolve(device));
        Ok(Timing { seconds, kernels: kernels.unwrap_or_default() })
    }

    pub fn remember(&mut self, submission: Submission, failure: String) {
        self.failures.insert(submission, failure);
    }

    pub fn recall(&mut self, submission: Submission) -> Option<String> {
        self.failures.remove(&submission)
    }

    /// A new queue, event and fence in the place of those that a failure may have blocked. Memory and pipelines
    /// belong to the device and stay.
    pub fn renew(
        &mut self,
        device: &ProtocolObject<dyn MTLDevice>,
        residency: Option<&ProtocolObject<dyn MTLResidencySet>>,
    ) -> Result<(), DeviceError> {
        let failures = std::mem::take(&mut self.failures);
        *self = Queue { failures, ..Queue::new(device, residency)? };
        Ok(())
    }
}

/// Metal's reason in words that help.
fn explain(error: Option<Retained<NSError>>) -> String {
    let Some(error) = error else { return "the command buffer failed without a reason".into() };
    let hint = match MTLCommandBufferError(error.code() as usize) {
        MTLCommandBufferError::Timeout => "it took too long, and the system ended it",
        MTLCommandBufferError::OutOfMemory => {
            "the GPU ran out of memory; close other programs or take a smaller context"
        }
        MTLCommandBufferError::PageFault => "a kernel reached outside its memory; please report it",
        MTLCommandBufferError::NotPermitted => "the system does not let this process use the GPU now",
        _ => "the GPU gave up on it",
    };
    format!("{hint} ({})", error.localizedDescription())
}
