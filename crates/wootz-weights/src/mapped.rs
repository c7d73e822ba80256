//! A file mapped read-only into memory: the one place of this crate with `unsafe` code.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::WeightsError;

/// A multiple of every page size in use (4, 16 and 64 KiB), so that ranges cut to it are whole pages.
const PAGE_MULTIPLE: usize = 64 * 1024;

/// A file, mapped read-only. Its pages are loaded when touched and can leave memory at any time.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// When it cannot be opened or mapped, is not a regular file, or is empty.
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>, WeightsError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(WeightsError::io(path, "open"))?;
        let facts = file.metadata().map_err(WeightsError::io(path, "read"))?;
        if !facts.is_file() || facts.len() == 0 {
            return Err(WeightsError::NotACheckpoint {
                path: path.to_path_buf(),
                found: if facts.is_file() { "an empty file" } else { "something that is not a file" }
                    .to_string(),
                expected: "a file with tensors".to_string(),
            });
        }
        // SAFETY: the map is read-only, and its bytes are only ever read as plain integers, for
        // which every bit pattern is valid. What remains is another process changing or truncating the file
        // meanwhile, which no reader of mapped files can rule out; model files are written once and then only
        // read.
        let map = unsafe { Mmap::map(&file) }.map_err(WeightsError::io(path, "map"))?;
        Ok(Arc::new(Self { path: path.to_path_buf(), map }))
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the whole pages inside the byte range `range` leave resident memory, for instance after a tensor
    /// has been repacked. Reading them again is allowed and fetches them from the file again. Does nothing
    /// where the operating system has no such request.
    pub fn release(&self, range: Range<usize>) {
        let start = range.start.next_multiple_of(PAGE_MULTIPLE);
        // A page that the file's end cuts short counts as whole.
        let end = if range.end >= self.map.len() {
            self.map.len()
        } else {
            range.end / PAGE_MULTIPLE * PAGE_MULTIPLE
        };
        if start >= end {
            return;
        }
        #[cfg(unix)]
        {
            // SAFETY: the map is file-backed and never written, so dropped pages come back from the file with
            // the same bytes: whoever still borrows them sees no change. `start..end` lies inside the map.
            let advised = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
            };
            // Only memory use is at stake, so a refusal is no error.
            drop(advised);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_pages_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let content: Vec<u8> = (0..700_001_u32).map(|i| (i / 3 * 7) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert_eq!(file.bytes(), content);
        for range in [0..700_001, 5..131_073, 0..0, 700_000..700_001, 65_536..65_537, 10..usize::MAX] {
            file.release(range);
            assert_eq!(file.bytes(), content);
        }
    }

    #[test]
    fn an_empty_file_and_a_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, []).unwrap();
        assert!(MappedFile::open(&path).unwrap_err().to_string().contains("an empty file"));
        assert!(MappedFile::open(folder.path()).is_err());
        assert!(
            MappedFile::open(folder.path().join("absent")).unwrap_err().to_string().contains("cannot open")
        );
    }

    /// Resident KiB of the mapping of `path`, by the kernel's own account.
    #[cfg(target_os = "linux")]
    fn resident(path: &Path) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
        let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn released_pages_leave_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("data");
        std::fs::write(&path, vec![1; 4 << 20]).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert_eq!(file.bytes().iter().map(|byte| u64::from(*byte)).sum::<u64>(), 4 << 20);
        assert!(resident(&path) > 3072, "{} KiB", resident(&path));
        file.release(0..1 << 20);
        // Fewer where the kernel had mapped larger pages, and dropped a whole one.
        assert!(resident(&path) <= 3072, "{} KiB", resident(&path));
        file.release(0..4 << 20);
        assert_eq!(resident(&path), 0);
    }
}
