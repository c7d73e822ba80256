//! Commands written into command buffers, each short enough for the display to stay smooth.

use std::ptr::NonNull;

use objc2::rc::autoreleasepool;
use objc2::runtime::ProtocolObject;
use objc2_metal::{
    MTLBarrierScope, MTLCommandBuffer, MTLCommandEncoder, MTLCommandQueue, MTLComputeCommandEncoder,
    MTLComputePassDescriptor, MTLComputePipelineState, MTLDispatchType, MTLSize,
};

use super::queue::InFlight;
use super::timestamps::Timestamps;
use super::{Metal, Object};
use crate::device::{Argument, Command, DeviceError, Dispatch, Profile, Submission, Work};
use crate::product::MatrixProduct;

/// GPU time that one command buffer is meant to take at most. The system shares the GPU between command
/// buffers, not within one, and ends one after seconds.
const BUFFER_SECONDS: f64 = 0.02;
/// Where a chip is not known: the slowest supported one, the first M1.
const LEAST_BANDWIDTH: f64 = 68e9;
const LEAST_HALF_RATE: f64 = 2.6e12;
/// Shares of the two limits that are certain to be reached, so that estimates are rather too long.
const CERTAIN_SHARE: f64 = 0.3;

impl Metal {
    /// Encodes commands and commits them.
    pub(super) fn encode(
        &self,
        commands: &[Command],
        profile: Profile,
        submission: Submission,
    ) -> Result<InFlight, DeviceError> {
        for dispatch in commands.iter().filter_map(launched) {
            self.check(dispatch)?;
        }
        autoreleasepool(|_| {
            let timestamps = match profile {
                Profile::Whole => None,
                Profile::Kernels => Timestamps::new(&self.device, commands),
            };
            let parts = self.parts(commands);
            let mut buffers: Vec<Object<dyn MTLCommandBuffer>> = Vec::with_capacity(parts.len());
            for (index, part) in parts.iter().enumerate() {
                let buffer = self.command_buffer(part).and_then(|buffer| {
                    match &timestamps {
                        None => self.encode_together(&buffer, part)?,
                        Some(timestamps) => self.encode_one_by_one(&buffer, part, timestamps)?,
                    }
                    Ok(buffer)
                });
                // Nobody will ask after those that run already.
                let settle =
                    |_: &DeviceError| buffers.iter().for_each(|running| running.waitUntilCompleted());
                let buffer = buffer.inspect_err(settle)?;
                if index + 1 == parts.len() {
                    buffer.encodeSignalEvent_value(ProtocolObject::from_ref(&*self.queue.done), submission.0);
                }
                // At once: a queue has only so many buffers that are not committed, and gives out no more.
                buffer.commit();
                buffers.push(buffer);
            }
            Ok(InFlight { submission, buffers, timestamps, done: self.queue.done.clone() })
        })
    }

    /// The commands cut where the estimate says that a command buffer is full.
    fn parts<'a>(&self, commands: &'a [Command]) -> Vec<&'a [Command]> {
        let mut parts = Vec::new();
        let (mut start, mut seconds) = (0, 0.0);
        for (index, command) in commands.iter().enumerate() {
            let cost = match command {
                Command::Dispatch(dispatch) => self.estimate(&dispatch.work),
                Command::Barrier => 0.0,
            };
            if seconds > 0.0 && seconds + cost > BUFFER_SECONDS {
                parts.push(&commands[start..index]);
                (start, seconds) = (index, 0.0);
            }
            seconds += cost;
        }
        // One at least, to signal the end.
        if start < commands.len() || parts.is_empty() {
            parts.push(&commands[start..]);
        }
        parts
    }

    /// Seconds that some work may take at most, by the device's limits.
    fn estimate(&self, work: &Work) -> f64 {
        let bandwidth = self.facts.bandwidth.unwrap_or(LEAST_BANDWIDTH);
        let half_rate = self.facts.half_rate.unwrap_or(LEAST_HALF_RATE);
        let bytes = (work.bytes_read + work.bytes_written) as f64;
        (bytes / bandwidth).max(work.operations as f64 / half_rate) / CERTAIN_SHARE
    }

    fn command_buffer(&self, part: &[Command]) -> Result<Object<dyn MTLCommandBuffer>, DeviceError> {
        let product =
            |command: &Command| matches!(command, Command::Dispatch(_)) && launched(command).is_none();
        // Unretained: the device keeps every buffer and pipeline for longer than any command buffer lives. What the
        // system's library makes for a product, only the command buffer can keep.
        let buffer = match part.iter().any(product) {
            true => self.queue.queue.commandBuffer(),
            false => self.queue.queue.commandBufferWithUnretainedReferences(),
        };
        buffer.ok_or_else(|| self.fault("no command buffer could be made".into()))
    }

    pub(super) fn encoder(
        &self,
        buffer: &ProtocolObject<dyn MTLCommandBuffer>,
        pass: Option<&MTLComputePassDescriptor>,
    ) -> Result<Object<dyn MTLComputeCommandEncoder>, DeviceError> {
        let encoder = match pass {
            Some(pass) => {
                pass.setDispatchType(MTLDispatchType::Concurrent);
                buffer.computeCommandEncoderWithDescriptor(pass)
            }
            None => buffer.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent),
        };
        let encoder = encoder.ok_or_else(|| self.fault("no encoder could be made".into()))?;
        encoder.waitForFence(&self.queue.fence);
        Ok(encoder)
    }

    pub(super) fn end(&self, encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>) {
        encoder.updateFence(&self.queue.fence);
        encoder.endEncoding();
    }

    /// One concurrent encoder, in which only barriers order dispatches. A product of the system's library brings an
    /// encoder of its own, so ours ends before it and another begins after it.
    fn encode_together(
        &self,
        buffer: &ProtocolObject<dyn MTLCommandBuffer>,
        commands: &[Command],
    ) -> Result<(), DeviceError> {
        let mut open: Option<Object<dyn MTLComputeCommandEncoder>> = None;
        for command in commands {
            match command {
                Command::Dispatch(dispatch) => match MatrixProduct::of(dispatch) {
                    None => {
                        let encoder = match open.take() {
                            Some(encoder) => encoder,
                            None => self.encoder(buffer, None)?,
                        };
                        self.dispatch(open.insert(encoder), dispatch);
                    }
                    Some(product) => {
                        if let Some(encoder) = open.take() {
                            self.end(&encoder);
                        }
                        self.product(buffer, &product)?;
                    }
                },
                Command::Barrier => {
                    if let Some(encoder) = &open {
                        encoder.memoryBarrierWithScope(MTLBarrierScope::Buffers);
                    }
                }
            }
        }
        if let Some(encoder) = open {
            self.end(&encoder);
        }
        Ok(())
    }

    /// An encoder for each dispatch, because Apple's GPUs take timestamps at their borders only.
    fn encode_one_by_one(
        &self,
        buffer: &ProtocolObject<dyn MTLCommandBuffer>,
        commands: &[Command],
        timestamps: &Timestamps,
    ) -> Result<(), DeviceError> {
        for command in commands {
            match command {
                Command::Dispatch(dispatch) => match MatrixProduct::of(dispatch) {
                    None => {
                        let pass = timestamps.pass(dispatch.kernel);
                        let encoder = self.encoder(buffer, pass.as_deref())?;
                        self.dispatch(&encoder, dispatch);
                        self.end(&encoder);
                    }
                    // It has no timestamps: its encoder is not ours.
                    Some(product) => self.product(buffer, &product)?,
                },
                Command::Barrier => {}
            }
        }
        Ok(())
    }

    /// Whether the GPU can launch so many threads of a kernel.
    fn check(&self, dispatch: &Dispatch) -> Result<(), DeviceError> {
        let pipeline = &self.pipelines[&dispatch.kernel];
        let threads = dispatch.grid.threads.iter().product::<u32>() as usize;
        let most = pipeline.maxTotalThreadsPerThreadgroup();
        if threads <= most && threads.is_multiple_of(pipeline.threadExecutionWidth()) {
            return Ok(());
        }
        let reason = format!("{threads} threads a threadgroup, of at most {most} in whole SIMD groups");
        Err(DeviceError::Launch { kernel: format!("{:?}", dispatch.kernel), reason })
    }

    fn dispatch(&self, encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>, dispatch: &Dispatch) {
        encoder.setComputePipelineState(&self.pipelines[&dispatch.kernel]);
        for (index, argument) in dispatch.arguments.iter().enumerate() {
            // SAFETY: `locate` checked that the slice lies in its buffer; the bytes are copied at once.
            unsafe {
                match argument {
                    Argument::Buffer(slice, _) => {
                        let (buffer, offset) = self.memory.locate(*slice);
                        encoder.setBuffer_offset_atIndex(Some(buffer), offset, index);
                    }
                    Argument::Inline(bytes) => {
                        let first = NonNull::from(&**bytes).cast();
                        encoder.setBytes_length_atIndex(first, bytes.len(), index);
                    }
                }
            }
        }
        encoder.dispatchThreadgroups_threadsPerThreadgroup(
            size(dispatch.grid.threadgroups),
            size(dispatch.grid.threads),
        );
    }
}

/// A kernel of ours that is launched.
fn launched(command: &Command) -> Option<&Dispatch> {
    match command {
        Command::Dispatch(dispatch) if MatrixProduct::of(dispatch).is_none() => Some(dispatch),
        _ => None,
    }
}

fn size([width, height, depth]: [u32; 3]) -> MTLSize {
    MTLSize { width: width as usize, height: height as usize, depth: depth as usize }
}
