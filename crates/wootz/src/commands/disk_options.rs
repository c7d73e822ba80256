//! Where keys and values outlive memory and restarts.

use std::path::PathBuf;

use clap::Args;
use wootz_engine::{DiskSettings, default_disk_bytes, default_disk_folder, model_fingerprint};
use wootz_weights::Checkpoint;

use crate::failure::Failure;
use crate::size;
use crate::terminal;

/// Keys and values on disk.
#[derive(Debug, Args)]
#[command(next_help_heading = "Disk")]
pub struct DiskOptions {
    /// Folder for keys and values, so that beginnings of prompts are found again after a restart [default: wootz/kv in
    /// the user's folder for caches]
    #[arg(long, value_name = "PATH", conflicts_with = "no_kv_disk")]
    kv_disk: Option<PathBuf>,
    /// The most that the folder may hold [default: 8G, or a tenth of what is free if that is less]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with = "no_kv_disk")]
    kv_disk_size: Option<u64>,
    /// Keep keys and values in memory only; nothing about prompts is written anywhere
    #[arg(long)]
    no_kv_disk: bool,
}

impl DiskOptions {
    /// The settings for a model on a kind of device. A default folder that can't be made is done without.
    pub fn settings(&self, checkpoint: &Checkpoint, device: &str) -> Result<Option<DiskSettings>, Failure> {
        if self.no_kv_disk {
            return Ok(None);
        }
        let Some(folder) = self.kv_disk.clone().or_else(default_disk_folder) else { return Ok(None) };
        if let Err(error) = std::fs::create_dir_all(&folder) {
            let failure = Failure::file("make the folder", &folder, &error);
            if self.kv_disk.is_some() {
                return Err(failure);
            }
            terminal::note(&format!("{failure}; keys and values stay in memory"));
            return Ok(None);
        }
        let bytes = self.kv_disk_size.unwrap_or_else(|| default_disk_bytes(&folder));
        if bytes == 0 {
            return Ok(None);
        }
        let weights = wootz_weights::fingerprint(checkpoint)?;
        Ok(Some(DiskSettings { folder, bytes, model: model_fingerprint(&weights, device) }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        disk: DiskOptions,
    }

    fn settings(arguments: &[&str]) -> Result<Option<DiskSettings>, Failure> {
        settings_on("cpu", arguments)
    }

    fn settings_on(device: &str, arguments: &[&str]) -> Result<Option<DiskSettings>, Failure> {
        let line = Line::try_parse_from([&["serve"], arguments].concat()).unwrap();
        let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales-7m.Q8_0.gguf");
        line.disk.settings(&Checkpoint::open(model).unwrap(), device)
    }

    #[test]
    fn a_folder_of_ones_own_a_size_and_none_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kv").display().to_string();
        let processor = settings(&["--kv-disk", &path, "--kv-disk-size", "1M"]).unwrap().unwrap();
        assert_eq!((processor.folder.display().to_string(), processor.bytes), (path.clone(), 1 << 20));
        let emulator = settings_on("emulator", &["--kv-disk", &path]).unwrap().unwrap();
        assert_ne!(processor.model, emulator.model);
        assert_eq!(settings(&["--no-kv-disk"]).unwrap(), None);
        assert_eq!(settings(&["--kv-disk", &path, "--kv-disk-size", "0"]).unwrap(), None);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let taken = folder.path().join("file").display().to_string();
        assert!(settings(&["--kv-disk", &taken]).is_err());
    }
}
