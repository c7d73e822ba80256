//! Device memory: arenas that are allocated once, and files that are used where they are mapped.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use objc2::available;
use objc2::runtime::ProtocolObject;
use objc2_metal::{MTLBuffer, MTLDevice, MTLResidencySet, MTLResidencySetDescriptor, MTLResourceOptions};
use wootz_weights::MappedFile;

use super::Object;
use crate::device::{BufferId, DeviceError, DeviceFacts, Slice};

/// Pages of memory on Apple silicon.
const PAGE: usize = 16 * 1024;

/// Shared with the processor, and with no hazard tracking: barriers are placed explicitly.
fn options() -> MTLResourceOptions {
    MTLResourceOptions::StorageModeShared | MTLResourceOptions::HazardTrackingModeUntracked
}

/// All buffers of a device.
pub struct Memory {
    device: Object<dyn MTLDevice>,
    /// One set for everything, made once (macOS 15 or newer; before it, binding a buffer makes it resident).
    residency: Option<Object<dyn MTLResidencySet>>,
    buffers: BTreeMap<BufferId, Storage>,
    next: usize,
}

/// Where a buffer's bytes are.
enum Storage {
    Allocated(Object<dyn MTLBuffer>),
    /// A file of more bytes than one Metal buffer may have is seen through several, which overlap by half so that
    /// every tensor lies within one of them.
    Mapped {
        views: Vec<Object<dyn MTLBuffer>>,
        step: usize,
        file: Arc<MappedFile>,
    },
}

impl Memory {
    pub fn new(device: Object<dyn MTLDevice>, facts: &DeviceFacts) -> Result<Memory, DeviceError> {
        let residency = if available!(macos = 15.0) {
            let descriptor = MTLResidencySetDescriptor::new();
            let made = device.newResidencySetWithDescriptor_error(&descriptor);
            Some(made.map_err(|error| DeviceError::Absent {
                device: "metal",
                reason: format!("{} makes no residency set: {}", facts.name, error.localizedDescription()),
            })?)
        } else {
            None
        };
        Ok(Memory { device, residency, buffers: BTreeMap::new(), next: 0 })
    }

    /// The set that holds every buffer.
    pub fn residency(&self) -> Option<&ProtocolObject<dyn MTLResidencySet>> {
        self.residency.as_deref()
    }

    pub fn allocate(
        &mut self,
        bytes: usize,
        purpose: &'static str,
        facts: &DeviceFacts,
    ) -> Result<BufferId, DeviceError> {
        let available = self.available(facts);
        let refused = || DeviceError::OutOfMemory {
            purpose,
            bytes: bytes as u64,
            available,
            device: facts.name.clone(),
        };
        // Going beyond the recommended working set is what makes a Mac swap, stutter, and at worst panic.
        if bytes as u64 > available.min(facts.buffer_bytes) {
            return Err(refused());
        }
        let length = bytes.max(1).next_multiple_of(PAGE);
        let buffer = self.device.newBufferWithLength_options(length, options()).ok_or_else(refused)?;
        self.hold(&buffer);
        self.commit();
        Ok(self.insert(Storage::Allocated(buffer)))
    }

    pub fn map(&mut self, file: &Arc<MappedFile>, facts: &DeviceFacts) -> Result<BufferId, DeviceError> {
        let bytes = file.bytes();
        // The last page of a mapping is whole in memory even where the file ends within it.
        let total = bytes.len().next_multiple_of(PAGE);
        let available = self.available(facts);
        let refused = |length: usize| DeviceError::OutOfMemory {
            purpose: "the mapped weights",
            bytes: length as u64,
            available,
            device: facts.name.clone(),
        };
        if total as u64 > available {
            return Err(refused(total));
        }
        let longest = facts.buffer_bytes as usize / (2 * PAGE) * (2 * PAGE);
        let (length, step) = if total <= longest { (total, total) } else { (longest, longest / 2) };
        let mut views = Vec::new();
        let mut start = 0;
        loop {
            let length = length.min(total - start);
            // SAFETY: `start..start + length` lies within the pages of the mapping, which begins at a page; the
            // mapping outlives the buffer, because `Storage` keeps both and drops the buffers first; kernels only
            // read it (a write would be a fault of the GPU, not of this process: the mapping is read-only).
            let view = unsafe {
                let pointer = NonNull::from(&bytes[start]).cast::<c_void>();
                self.device.newBufferWithBytesNoCopy_length_options_deallocator(
                    pointer,
                    length,
                    options(),
                    None,
                )
            };
            let view = view.ok_or_else(|| refused(length))?;
            self.hold(&view);
            views.push(view);
            if start + length >= total {
                break;
            }
            start += step;
        }
        self.commit();
        Ok(self.insert(Storage::Mapped { views, step, file: Arc::clone(file) }))
    }

    pub fn release(&mut self, buffer: BufferId) {
        let Some(storage) = self.buffers.remove(&buffer) else { return };
        if let Some(set) = &self.residency {
            match &storage {
                Storage::Allocated(buffer) => set.removeAllocation(ProtocolObject::from_ref(&**buffer)),
                Storage::Mapped { views, .. } => {
                    views.iter().for_each(|view| set.removeAllocation(ProtocolObject::from_ref(&**view)));
                }
            }
        }
        self.commit();
    }

    /// The Metal buffer that holds a slice, and the slice's offset in it.
    ///
    /// # Panics
    /// When the slice is not of this memory: a mistake of the program.
    pub fn locate(&self, slice: Slice) -> (&ProtocolObject<dyn MTLBuffer>, usize) {
        match &self.buffers[&slice.buffer] {
            Storage::Allocated(buffer) => {
                assert!(slice.offset + slice.length <= buffer.length(), "a slice outside its buffer");
                (buffer, slice.offset)
            }
            Storage::Mapped { views, step, .. } => {
                let index = (slice.offset / step).min(views.len() - 1);
                let offset = slice.offset - index * step;
                assert!(offset + slice.length <= views[index].length(), "a slice outside its view");
                (&views[index], offset)
            }
        }
    }

    pub fn write(&self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        assert_eq!(to.length, bytes.len(), "a slice is written whole");
        let (buffer, offset) = self.locate(to);
        // SAFETY: `locate` checked that the bytes lie in the buffer, which is shared memory; the caller of
        // `Device::write` sees to it that the GPU does not use them now.
        unsafe {
            let target = buffer.contents().cast::<u8>().as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        Ok(())
    }

    pub fn read(&self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        assert_eq!(from.length, bytes.len(), "a slice is read whole");
        let (buffer, offset) = self.locate(from);
        // SAFETY: as in `write`.
        unsafe {
            let source = buffer.contents().cast::<u8>().as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), bytes.len());
        }
        Ok(())
    }

    /// What is left of the recommended working set. Metal's own count would take a file's overlapping views for as many
    /// files.
    fn available(&self, facts: &DeviceFacts) -> u64 {
        let bytes = |storage: &Storage| match storage {
            Storage::Allocated(buffer) => buffer.length(),
            Storage::Mapped { file, .. } => file.bytes().len(),
        };
        let held: usize = self.buffers.values().map(bytes).sum();
        facts.memory.saturating_sub(held as u64)
    }

    fn insert(&mut self, storage: Storage) -> BufferId {
        let id = BufferId(self.next);
        self.next += 1;
        self.buffers.insert(id, storage);
        id
    }

    fn hold(&self, buffer: &ProtocolObject<dyn MTLBuffer>) {
        if let Some(set) = &self.residency {
            set.addAllocation(ProtocolObject::from_ref(buffer));
        }
    }

    fn commit(&self) {
        if let Some(set) = &self.residency {
            set.commit();
            set.requestResidency();
        }
    }
}
