//! A device that computes nothing: what a model would do on a machine that is not here.
//!
//! It has the facts of some chip and counts the memory that is asked of it, so a model can be laid out on it, refused by
//! it, and its steps listed ([`GpuModel::plan`](crate::model::GpuModel::plan)).

use std::collections::BTreeMap;
use std::sync::Arc;

use wootz_weights::MappedFile;

use crate::chips::Chip;
use crate::device::{
    BufferId, Command, Device, DeviceError, DeviceFacts, Family, Kernel, Profile, Slice, Submission, Timing,
};

/// A device on paper.
#[derive(Debug, Clone)]
pub struct Paper {
    facts: DeviceFacts,
    /// Bytes of each buffer.
    buffers: BTreeMap<BufferId, u64>,
    next: usize,
    submitted: u64,
}

impl Paper {
    /// A device of which these facts are known.
    pub fn new(facts: DeviceFacts) -> Paper {
        Paper { facts, buffers: BTreeMap::new(), next: 0, submitted: 0 }
    }

    /// A Mac with this chip and so many gibibytes of memory.
    pub fn of_chip(chip: &Chip, gibibytes: u64) -> Paper {
        let memory = Chip::working_set(gibibytes);
        Paper::new(DeviceFacts {
            name: chip.name.into(),
            family: Family::Apple(chip.family()),
            driver: "on paper".into(),
            cores: Some(chip.cores),
            memory,
            buffer_bytes: memory,
            bandwidth: Some(chip.bandwidth),
            half_rate: Some(chip.half_rate),
            tensor_operations: false,
            matrix_library: false,
            register_factors: false,
            warpgroup_products: false,
            offset_alignment: 4,
        })
    }

    fn take(&mut self, bytes: u64, purpose: &'static str) -> Result<BufferId, DeviceError> {
        let available = self.facts.memory.saturating_sub(self.buffers.values().sum());
        if bytes > available {
            let device = self.facts.name.clone();
            return Err(DeviceError::OutOfMemory { purpose, bytes, available, device });
        }
        let id = BufferId(self.next);
        self.next += 1;
        self.buffers.insert(id, bytes);
        Ok(id)
    }
}

impl Device for Paper {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.take(bytes as u64, purpose)
    }

    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        self.take(file.bytes().len() as u64, "the weights")
    }

    fn release(&mut self, buffer: BufferId) {
        self.buffers.remove(&buffer);
    }

    fn write(&mut self, _: Slice, _: &[u8]) -> Result<(), DeviceError> {
        Ok(())
    }

    fn read(&mut self, _: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        bytes.fill(0);
        Ok(())
    }

    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        progress(kernels.len());
        Ok(())
    }

    fn submit(&mut self, _: &[Command], _: Profile) -> Result<Submission, DeviceError> {
        self.submitted += 1;
        Ok(Submission(self.submitted))
    }

    fn wait(&mut self, _: Submission) -> Result<Timing, DeviceError> {
        Ok(Timing::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chips;

    #[test]
    fn it_has_the_memory_of_its_machine() {
        let mut air = Paper::of_chip(chips::parse("m1").unwrap(), 8);
        let half = 3_usize << 30;
        let first = air.allocate(half, "a test").unwrap();
        let refused = air.allocate(half, "a test").unwrap_err().to_string();
        assert!(refused.contains("Apple M1"), "{refused}");
        air.release(first);
        air.allocate(half, "a test").unwrap();
    }
}
