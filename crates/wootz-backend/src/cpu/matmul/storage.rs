//! The memory that packed weights live in.

use memmap2::MmapMut;

/// Zeroed memory of its own, page-aligned, given by the operating system as it is touched; in huge pages where the
/// system offers them, which spares a walk of the page table every 4 KiB read.
#[derive(Debug)]
pub struct WeightMemory {
    map: MmapMut,
}

impl WeightMemory {
    /// `len` zeroed bytes.
    ///
    /// # Errors
    /// When the operating system has no room for them.
    pub fn zeroed(len: usize) -> std::io::Result<Self> {
        let map = MmapMut::map_anon(len.max(1))?;
        #[cfg(target_os = "linux")]
        if len >= 2 << 20 {
            // Only speed is at stake, so a refusal is no error.
            drop(map.advise(memmap2::Advice::HugePage));
        }
        Ok(Self { map })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The bytes, to fill.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}
