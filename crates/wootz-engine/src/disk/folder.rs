//! The folder: every access to the file system, relative to opened folders and through no symbolic link, so that nothing
//! outside of it is ever read, written or removed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use super::index::{MOST_BLOCKS, Name, Used};
use super::page_file::{HEADER_BYTES, header, is_whole};
use super::{DiskError, DiskSettings};
use crate::block::BlockKey;

/// Models' folders that are looked at. What others hold is not counted.
const MOST_MODELS: usize = 64;
/// File systems give space in units of so many bytes.
const ALLOCATION: u64 = 4096;
/// A file on its way that was not touched for so long was left behind: writing one takes milliseconds.
const LEFT_BEHIND: Duration = Duration::from_secs(600);
const ON_ITS_WAY: &str = "writing-";

/// The opened folders of all models.
#[derive(Debug)]
pub struct Folder {
    model: [u8; 32],
    page_bytes: usize,
    /// The own model's first.
    models: Vec<OwnedFd>,
    /// Makes names of files on their way unique, with the process's number.
    opened: u128,
    written: u64,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// Blocks, the bytes that they take, and when they were used, least recently used first.
    pub blocks: Vec<(Name, u64, SystemTime)>,
    /// Files of the own model that had the wrong length; they were removed.
    pub corrupt: u64,
    /// Blocks that were removed because there are more than can be remembered.
    pub evicted: u64,
}

/// What reading a block gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The page.
    Page(Vec<u8>),
    /// There is no such file.
    Nothing,
    /// The file is not what it should be, and was removed.
    Corrupt,
}

impl Folder {
    /// Opens the folder, and makes it if it is not there.
    pub fn open(settings: &DiskSettings, page_bytes: usize) -> Result<Self, DiskError> {
        Self::try_open(settings, page_bytes)
            .map_err(|error| DiskError { folder: settings.folder.clone(), reason: error.to_string() })
    }

    fn try_open(settings: &DiskSettings, page_bytes: usize) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.folder)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, &settings.folder, flags, Mode::empty())?;
        let digits = |byte: &u8| format!("{byte:02x}");
        let own = format!("kv-{}", settings.model.iter().take(16).map(digits).collect::<String>());
        match mkdirat(&root, own.as_str(), Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = flags | OFlags::NOFOLLOW;
        let mut models = vec![openat(&root, own.as_str(), flags, Mode::empty())?];
        for entry in Dir::read_from(&root)? {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            let other = name.strip_prefix("kv-").is_some_and(|rest| is_hex(rest, 32)) && name != own;
            if other && models.len() < MOST_MODELS {
                // One that was removed meanwhile, or is no folder, holds nothing.
                models.extend(openat(&root, name, flags, Mode::empty()));
            }
        }
        let opened = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        Ok(Self { model: settings.model, page_bytes, models, opened, written: 0 })
    }

    /// Bytes that a block takes on disk.
    pub fn block_bytes(&self) -> u64 {
        ((HEADER_BYTES + self.page_bytes) as u64).next_multiple_of(ALLOCATION)
    }

    /// Looks at all files. Those that were left behind on their way are removed, and the own model's whose length is wrong.
    pub fn scan(&self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        let mut found: Vec<(SystemTime, Name, u64)> = Vec::new();
        for (model, folder) in self.models.iter().enumerate() {
            for entry in Dir::read_from(folder)? {
                let entry = entry?;
                let name = entry.file_name().to_str().unwrap_or_default();
                let key = parse_key(name);
                if key.is_none() && !name.starts_with(ON_ITS_WAY) {
                    continue;
                }
                let Ok(facts) = open_file(folder, name).and_then(|file| file.metadata()) else { continue };
                let used = facts.modified().unwrap_or(UNIX_EPOCH);
                match key {
                    _ if !facts.is_file() => {}
                    None if used.elapsed().is_ok_and(|age| age > LEFT_BEHIND) => unlink(folder, name)?,
                    None => {}
                    Some(_) if model == 0 && facts.len() != (HEADER_BYTES + self.page_bytes) as u64 => {
                        unlink(folder, name)?;
                        scan.corrupt += 1;
                    }
                    Some(_) if found.len() >= MOST_BLOCKS => {
                        unlink(folder, name)?;
                        scan.evicted += 1;
                    }
                    Some(key) => {
                        let name = Name { model: model as u16, key };
                        found.push((used, name, facts.len().next_multiple_of(ALLOCATION)));
                    }
                }
            }
        }
        found.sort_unstable_by_key(|(used, name, _)| (*used, name.key));
        scan.blocks = found.into_iter().map(|(used, name, bytes)| (name, bytes, used)).collect();
        Ok(scan)
    }

    /// Reads a block of the own model.
    pub fn read(&self, key: &BlockKey) -> io::Result<Found> {
        let name = key.to_string();
        let mut file = match open_file(&self.models[0], &name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            // A symbolic link.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return self.corrupt(&name);
            }
            Err(error) => return Err(error),
        };
        let facts = file.metadata()?;
        if facts.is_dir() {
            return Ok(Found::Nothing);
        }
        if !facts.is_file() || facts.len() != (HEADER_BYTES + self.page_bytes) as u64 {
            return self.corrupt(&name);
        }
        let mut start = [0; HEADER_BYTES];
        let mut page = vec![0; self.page_bytes];
        // It may shrink while it is read.
        match file.read_exact(&mut start).and_then(|()| file.read_exact(&mut page)) {
            Ok(()) if is_whole(&start, &self.model, key, &page) => {}
            Ok(()) => return self.corrupt(&name),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return self.corrupt(&name),
            Err(error) => return Err(error),
        }
        Ok(Found::Page(page))
    }

    fn corrupt(&self, name: &str) -> io::Result<Found> {
        unlink(&self.models[0], name)?;
        Ok(Found::Corrupt)
    }

    /// Writes a block of the own model. Its file is there whole or not at all.
    pub fn write(&mut self, key: &BlockKey, page: &[u8]) -> io::Result<()> {
        let folder = &self.models[0];
        self.written += 1;
        let temporary = format!("{ON_ITS_WAY}{}-{}-{}", std::process::id(), self.opened, self.written);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(folder, temporary.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
        let start = header(&self.model, key, page);
        let written = file
            .write_all(&start)
            .and_then(|()| file.write_all(page))
            .and_then(|()| Ok(renameat(folder, temporary.as_str(), folder, key.to_string())?));
        if written.is_err() {
            let _ = unlink(folder, &temporary);
        }
        written
    }

    /// Marks when a block of the own model was used.
    pub fn mark(&self, key: &BlockKey, used: Used) -> io::Result<()> {
        open_file(&self.models[0], &key.to_string())?.set_modified(used.time())
    }

    /// Removes a block. One that is gone already is no error.
    pub fn remove(&self, name: &Name) -> io::Result<()> {
        match self.models.get(usize::from(name.model)) {
            Some(folder) => unlink(folder, &name.key.to_string()),
            None => Ok(()),
        }
    }
}

/// Opens a file of a folder for reading: no symbolic link, and without waiting if it is a pipe.
fn open_file(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

fn unlink(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The key that a file is named after.
fn parse_key(name: &str) -> Option<BlockKey> {
    if !is_hex(name, 64) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(name.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(BlockKey(key))
}
