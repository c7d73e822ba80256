//! A GPU's buffers.

use std::sync::Arc;

use super::driver::{Allocation, Context};
use crate::device::{BufferId, DeviceError, Slice};

/// All buffers of a device.
pub struct Memory {
    buffers: Vec<Option<(Allocation, usize)>>,
    context: Arc<Context>,
    device: String,
}

impl Memory {
    /// No buffers.
    pub fn new(context: &Arc<Context>, device: String) -> Self {
        Self { buffers: Vec::new(), context: context.clone(), device }
    }

    /// A buffer; its content is undefined.
    pub fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        let Some(allocation) = Allocation::new(&self.context, bytes)? else {
            let available = self.context.free_memory()?;
            let device = self.device.clone();
            return Err(DeviceError::OutOfMemory { purpose, bytes: bytes as u64, available, device });
        };
        let free = self.buffers.iter().position(Option::is_none).unwrap_or(self.buffers.len());
        if free == self.buffers.len() {
            self.buffers.push(None);
        }
        self.buffers[free] = Some((allocation, bytes));
        Ok(BufferId(free))
    }

    /// Gives a buffer's memory back. Nothing that is under way may use it.
    pub fn release(&mut self, buffer: BufferId) {
        if let Some(place) = self.buffers.get_mut(buffer.0) {
            *place = None;
        }
    }

    /// Where a slice begins on the device.
    pub fn address(&self, slice: Slice) -> Result<u64, DeviceError> {
        let buffer = self.buffers.get(slice.buffer.0).and_then(Option::as_ref);
        let inside = buffer
            .filter(|(_, length)| slice.offset.checked_add(slice.length).is_some_and(|end| end <= *length));
        match inside {
            Some((allocation, _)) => Ok(allocation.address() + slice.offset as u64),
            None => Err(DeviceError::Fault {
                device: self.device.clone(),
                kernel: None,
                message: format!("there is no {slice:?}"),
            }),
        }
    }

    /// The same for a copy of so many bytes.
    pub fn address_for_copy(&self, slice: Slice, bytes: usize) -> Result<u64, DeviceError> {
        if bytes == slice.length {
            return self.address(slice);
        }
        let message = format!("the host copies {bytes} bytes to or from {slice:?}");
        Err(DeviceError::Fault { device: self.device.clone(), kernel: None, message })
    }
}
