//! Where the project lies, and the files in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;

/// The root of the working tree.
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The repository of this xtask: as `cargo run` says, since working trees that share a target folder share the program.
    pub fn find() -> Result<Repository, Failure> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = manifest.parent().unwrap_or(&manifest).to_path_buf();
        Ok(Repository { root })
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command that runs in the root folder.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The cargo that runs this xtask, in the root folder.
    pub fn cargo(&self) -> Command {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        self.command(&cargo)
    }

    /// Every file that git tracks or would track, relative to the root, sorted; deleted ones left out.
    pub fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut command = self.command("git");
        command.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
        let listing = process::output(command)?;
        let mut files: Vec<PathBuf> =
            listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a file, relative to the root.
    pub fn read(&self, file: &Path) -> Result<String, Failure> {
        let path = self.root.join(file);
        std::fs::read_to_string(&path).map_err(|reason| Failure::File { path, reason })
    }
}
