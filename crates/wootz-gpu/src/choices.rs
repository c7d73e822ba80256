//! What is known of one device from running on it: kernels that failed their examination, and the fastest choice for
//! a shape. Kept on disk between runs, and valid for one device, one driver and one version of the kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::device::DeviceFacts;
use crate::kernels::CONCEPTS;

/// What was found out about a device. The default is that nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// The device that it is about.
    pub device: String,
    /// What compiled the kernels.
    pub driver: String,
    /// Which kernels: a hash of their text.
    pub kernels: String,
    /// Entry points that gave wrong results (`wootz doctor`) and are not used.
    pub excluded: BTreeSet<String>,
    /// For the key of a shape, the name of the choice that was fastest (`wootz tune`).
    pub winners: BTreeMap<String, String>,
}

impl Choices {
    /// Nothing known yet about this device.
    pub fn new(facts: &DeviceFacts) -> Choices {
        Choices {
            device: facts.name.clone(),
            driver: facts.driver.clone(),
            kernels: kernels_hash(),
            ..Choices::default()
        }
    }

    /// What is on disk about this device. Nothing, where there is no file, or it is about another driver or other
    /// kernels, or is damaged: it can be found out again.
    pub fn load(folder: &Path, facts: &DeviceFacts) -> Choices {
        let fresh = Choices::new(facts);
        let Ok(text) = std::fs::read(path(folder, facts)) else { return fresh };
        match serde_json::from_slice::<Choices>(&text) {
            Ok(kept)
                if (&kept.device, &kept.driver, &kept.kernels)
                    == (&fresh.device, &fresh.driver, &fresh.kernels) =>
            {
                kept
            }
            _ => fresh,
        }
    }

    /// Writes it to disk, whole or not at all. The answer is where.
    pub fn save(&self, folder: &Path, facts: &DeviceFacts) -> io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let path = path(folder, facts);
        let fresh = path.with_extension(format!("json.{}", std::process::id()));
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&fresh, &path)?;
        Ok(path)
    }
}

/// Where choices are kept when nobody says otherwise: the user's own folder for caches.
pub fn default_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(base.cache_dir().join("wootz/devices"))
}

/// One file a device, named after it.
fn path(folder: &Path, facts: &DeviceFacts) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    folder.join(facts.name.chars().map(plain).collect::<String>()).with_extension("json")
}

/// A hash of all kernel texts: a mended kernel is tried again.
fn kernels_hash() -> String {
    let mut hash = Sha256::new();
    for source in CONCEPTS.iter().flat_map(|concept| concept.sources) {
        hash.update(source.file);
        hash.update(source.flattened().unwrap_or_default());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Family;

    fn facts(name: &str, driver: &str) -> DeviceFacts {
        DeviceFacts {
            name: name.into(),
            family: Family::Apple(9),
            driver: driver.into(),
            cores: None,
            memory: 0,
            buffer_bytes: 0,
            bandwidth: None,
            half_rate: None,
            tensor_operations: false,
            matrix_library: true,
            register_factors: false,
            warpgroup_products: false,
            offset_alignment: 4,
        }
    }

    #[test]
    fn choices_come_back_for_their_device_and_driver_only() {
        let folder = tempfile::tempdir().unwrap();
        let device = facts("Apple M4 Max", "25A1");
        assert_eq!(Choices::load(folder.path(), &device), Choices::new(&device));
        let mut choices = Choices::new(&device);
        choices.excluded.insert("gemv_q4_k".into());
        choices.winners.insert("q4_k 8x4096x4096".into(), "gemm_small".into());
        let path = choices.save(folder.path(), &device).unwrap();
        assert!(path.ends_with("apple-m4-max.json"), "{}", path.display());
        assert_eq!(Choices::load(folder.path(), &device), choices);
        let newer = facts("Apple M4 Max", "26A1");
        assert_eq!(Choices::load(folder.path(), &newer), Choices::new(&newer));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Choices::load(folder.path(), &device), Choices::new(&device));
    }
}
