//! Where pages are kept when nobody says otherwise, how much of them, and whose they are.

use std::path::{Path, PathBuf};

/// Of the arithmetic that computes keys and values. A change of a kernel or of the page format that changes a bit of a page
/// counts it up, so that pages of the two never meet.
pub const NUMERICS_VERSION: u32 = 1;

/// The most that is kept by default.
const MOST_BYTES: u64 = 8 << 30;

/// The user's own folder for caches: `~/.cache/wootz/kv` on Linux, `~/Library/Caches/wootz/kv` on macOS.
pub fn default_disk_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(base.cache_dir().join("wootz/kv"))
}

/// 8 GiB, or a tenth of what is free on the folder's disk if that is less. The folder need not be there.
pub fn default_disk_bytes(folder: &Path) -> u64 {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = folder.ancestors().find(|ancestor| ancestor.is_dir());
    let disk = there.and_then(|there| rustix::fs::statvfs(there).ok());
    let free = disk.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    MOST_BYTES.min(free / 10)
}

/// What tells the pages of one model from those of another: the weights
/// ([`wootz_weights::fingerprint`]), the device that computes (its kind, and whatever of it decides bits:
/// `cpu avx2`), and [`NUMERICS_VERSION`].
pub fn model_fingerprint(weights: &[u8; 32], device: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(weights).update(&NUMERICS_VERSION.to_le_bytes()).update(device.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_there_for_a_folder_that_is_not() {
        let folder = std::env::temp_dir().join("not there/nor this");
        assert!(default_disk_bytes(&folder) <= MOST_BYTES);
        assert!(default_disk_bytes(Path::new("relative")) <= MOST_BYTES);
    }

    #[test]
    fn every_part_tells_models_apart() {
        let one = model_fingerprint(&[1; 32], "cpu avx2");
        assert_eq!(one, model_fingerprint(&[1; 32], "cpu avx2"));
        assert_ne!(one, model_fingerprint(&[2; 32], "cpu avx2"));
        assert_ne!(one, model_fingerprint(&[1; 32], "cpu avx512"));
    }
}
