//! The emulator's buffers: memory of this process, and mapped files.

use std::sync::Arc;

use memmap2::MmapMut;
use msl::emulator::{Buffer, BufferAccess};
use wootz_weights::MappedFile;

use super::{Checks, NAME, fault};
use crate::device::{Access, BufferId, DeviceError, Dispatch, Slice};

/// What the offset of a bound buffer is a multiple of: what Metal asks for.
pub const OFFSET_ALIGNMENT: usize = 4;
/// Bytes that are taken for the memory of a machine that doesn't say.
const USUAL_MEMORY: u64 = 8 << 30;
/// What fresh memory holds with checks: as f32 and as f16 a NaN, which shows in a result.
const POISON: u8 = 0xff;

/// Bytes of memory that this machine has.
pub fn of_this_machine() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(USUAL_MEMORY, |kilobytes| kilobytes.saturating_mul(1024))
}

/// All buffers of one emulator.
pub struct Memory {
    buffers: Vec<Option<Storage>>,
    checks: Checks,
    available: u64,
}

/// Where a buffer's bytes are.
enum Storage {
    /// In anonymous memory, of which the first so many bytes were asked for.
    Own(MmapMut, usize),
    /// In a file, read only.
    File(Arc<MappedFile>),
}

impl Storage {
    fn length(&self) -> usize {
        match self {
            Storage::Own(_, length) => *length,
            Storage::File(file) => file.bytes().len(),
        }
    }
}

impl Memory {
    /// No buffers, and at most `available` bytes for them.
    pub fn new(available: u64, checks: Checks) -> Self {
        Self { buffers: Vec::new(), checks, available }
    }

    /// A buffer that is aligned to pages. The system gives memory for what is used of it.
    pub fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        let none = |available| DeviceError::OutOfMemory {
            purpose,
            bytes: bytes as u64,
            available,
            device: NAME.to_owned(),
        };
        let left = self.available.checked_sub(bytes as u64).ok_or_else(|| none(self.available))?;
        let mut map = MmapMut::map_anon(bytes.max(1)).map_err(|_| none(self.available))?;
        if self.checks == Checks::Checked {
            map.fill(POISON);
        }
        self.available = left;
        Ok(self.add(Storage::Own(map, bytes)))
    }

    /// A buffer that is a file.
    pub fn map(&mut self, file: &Arc<MappedFile>) -> BufferId {
        self.add(Storage::File(file.clone()))
    }

    fn add(&mut self, storage: Storage) -> BufferId {
        let free = self.buffers.iter().position(Option::is_none).unwrap_or(self.buffers.len());
        if free == self.buffers.len() {
            self.buffers.push(None);
        }
        self.buffers[free] = Some(storage);
        BufferId(free)
    }

    /// Gives a buffer's memory back.
    pub fn release(&mut self, buffer: BufferId) {
        if let Some(Storage::Own(_, bytes)) = self.buffers.get_mut(buffer.0).and_then(Option::take) {
            self.available += bytes as u64;
        }
    }

    /// Copies bytes in.
    pub fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        match self.storage(to) {
            Some(Storage::Own(map, _)) if bytes.len() == to.length => {
                map[to.offset..to.offset + to.length].copy_from_slice(bytes);
                Ok(())
            }
            Some(Storage::Own(..)) | None => Err(no_such(to, bytes.len())),
            Some(Storage::File(file)) => {
                let path = file.path().display();
                Err(fault(None, format!("the host writes to {path}, which is mapped for reading")))
            }
        }
    }

    /// Copies bytes out.
    pub fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let length = bytes.len();
        match self.bytes(from) {
            Some(source) if source.len() == length => bytes.copy_from_slice(source),
            _ => return Err(no_such(from, length)),
        }
        Ok(())
    }

    /// What a slice holds.
    pub fn bytes(&mut self, slice: Slice) -> Option<&[u8]> {
        let range = slice.offset..slice.offset.checked_add(slice.length)?;
        match self.storage(slice)? {
            Storage::Own(map, _) => map.get(range),
            Storage::File(file) => file.bytes().get(range),
        }
    }

    /// The storage of a slice that lies within it.
    fn storage(&mut self, slice: Slice) -> Option<&mut Storage> {
        let storage = self.buffers.get_mut(slice.buffer.0)?.as_mut()?;
        (slice.offset.checked_add(slice.length)? <= storage.length()).then_some(storage)
    }

    /// Checks that every slice of a dispatch is there, aligned, and may be written where it is.
    pub fn check(&mut self, dispatch: &Dispatch) -> Result<(), DeviceError> {
        let refuse = |reason| Err(DeviceError::Launch { kernel: format!("{:?}", dispatch.kernel), reason });
        for (slice, access) in dispatch.slices() {
            if !slice.offset.is_multiple_of(OFFSET_ALIGNMENT) {
                return refuse(format!(
                    "a buffer begins at byte {}, which is not a multiple of {OFFSET_ALIGNMENT}",
                    slice.offset
                ));
            }
            match self.storage(slice) {
                None => return refuse(format!("there is no {slice:?}")),
                Some(Storage::File(file)) if access != Access::Read => {
                    let path = file.path().display();
                    return refuse(format!("it would write to {path}, which is mapped for reading"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What a kernel is given for a slice that [`Memory::check`] found good.
    pub fn bind(&mut self, slice: Slice, access: Access) -> Option<Buffer<'static>> {
        let start = match self.storage(slice)? {
            Storage::Own(map, _) => map.as_mut_ptr(),
            Storage::File(file) if access == Access::Read => file.bytes().as_ptr().cast_mut(),
            Storage::File(_) => return None,
        };
        let access = match access {
            Access::Read => BufferAccess::Read,
            Access::Write => BufferAccess::Output,
            Access::ReadWrite => BufferAccess::ReadWrite,
        };
        // SAFETY: the slice lies within its storage, so the address does and the bytes are valid for reads; a file is
        // only bound for reading. Buffers are released by `&mut self` alone, and the one who binds them
        // (`run::run`) borrows this memory mutably until the dispatch has run, so nobody else touches it meanwhile.
        Some(unsafe { Buffer::from_raw(start.add(slice.offset), slice.length, access) })
    }
}

fn no_such(slice: Slice, bytes: usize) -> DeviceError {
    fault(None, format!("the host copies {bytes} bytes to or from {slice:?}, which is not there"))
}
