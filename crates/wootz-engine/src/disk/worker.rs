//! The thread that reads and writes.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use super::DiskSettings;
use super::cache::{FIRST_PAUSE, Shared, own};
use super::folder::{Folder, Found};
use super::index::{Index, Used};
use crate::block::BlockKey;

/// The longest pause after errors, in blocks that are dropped.
const LONGEST_PAUSE: u64 = 4096;
/// The folder is looked at anew whenever this part of the cap was written: other processes write to it too.
const RESCAN_SHARE: u64 = 16;

/// Reads, writes, removes; holds the lock only between those.
pub(super) struct Worker {
    shared: Arc<Shared>,
    folder: Folder,
    settings: DiskSettings,
    wake: Box<dyn Fn() + Send>,
    /// Bytes written since the folder was last looked at.
    since_scan: u64,
}

/// What there is to do next.
enum Work {
    Fetch(BlockKey),
    Store(BlockKey, Vec<u8>),
    Mark(BlockKey, Used),
    End,
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        folder: Folder,
        settings: DiskSettings,
        wake: Box<dyn Fn() + Send>,
    ) -> Self {
        Self { shared, folder, settings, wake, since_scan: 0 }
    }

    /// Finds what the folder holds, and removes what is beyond the cap.
    pub fn scan(&mut self) -> io::Result<()> {
        // What files say of their use is to be all that is known of it.
        let touches = std::mem::take(&mut self.shared.lock().touches);
        touches.iter().for_each(|(key, used)| drop(self.folder.mark(key, *used)));
        let found = self.folder.scan()?;
        let mut index = Index::default();
        // A time to come would be that of all later uses, and theirs a little later still.
        let now = SystemTime::now();
        for (name, bytes, used) in found.blocks {
            index.insert(name, bytes, used.min(now));
        }
        let gone = index.make_room(0, self.settings.bytes);
        gone.iter().try_for_each(|name| self.folder.remove(name))?;
        self.since_scan = 0;
        let mut state = self.shared.lock();
        state.index = index;
        state.statistics.corrupt += found.corrupt;
        state.statistics.evicted += found.evicted + gone.len() as u64;
        Ok(())
    }

    /// Works until the cache is dropped.
    pub fn run(mut self) {
        loop {
            match self.next() {
                Work::Fetch(key) => self.fetch(key),
                Work::Store(key, page) => self.store(key, &page),
                // Only the order of eviction after a restart depends on it.
                Work::Mark(key, used) => drop(self.folder.mark(&key, used)),
                Work::End => return,
            }
        }
    }

    /// Waits for work. What a request waits for comes first.
    fn next(&mut self) -> Work {
        let mut state = self.shared.lock();
        state.busy = false;
        loop {
            let work = if let Some(key) = state.fetches.pop_front() {
                Some(Work::Fetch(key))
            } else if let Some((key, page)) = state.stores.pop_front() {
                Some(Work::Store(key, page))
            } else {
                state.touches.pop_front().map(|(key, used)| Work::Mark(key, used))
            };
            if let Some(work) = work {
                state.busy = true;
                return work;
            }
            self.shared.idle.notify_all();
            if state.stopping {
                return Work::End;
            }
            state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fetch(&mut self, key: BlockKey) {
        let waiting = {
            let state = self.shared.lock();
            let stored = state.stores.iter().find(|(known, _)| *known == key);
            stored.map(|(_, page)| page.clone())
        };
        let found = match waiting {
            Some(page) => Ok(Found::Page(page)),
            None => self.folder.read(&key),
        };
        let mut state = self.shared.lock();
        let mut used = None;
        let page = match found {
            Ok(Found::Page(page)) => {
                state.statistics.hits += 1;
                used = state.index.touch(&own(&key), SystemTime::now());
                Some(page)
            }
            missing => {
                state.statistics.misses += 1;
                state.statistics.corrupt += u64::from(matches!(missing, Ok(Found::Corrupt)));
                state.statistics.errors += u64::from(missing.is_err());
                state.index.remove(&own(&key));
                None
            }
        };
        state.arrived.push((key, page));
        drop(state);
        (self.wake)();
        if let Some(used) = used {
            // Only the order of eviction after a restart depends on it.
            let _ = self.folder.mark(&key, used);
        }
    }

    fn store(&mut self, key: BlockKey, page: &[u8]) {
        let written = self.write(&key, page);
        let mut state = self.shared.lock();
        state.queued.remove(&key);
        state.statistics.queued_bytes -= page.len() as u64;
        match written {
            Ok(()) => {
                let used = state.index.insert(own(&key), self.folder.block_bytes(), SystemTime::now());
                state.statistics.stored += 1;
                state.next_pause = FIRST_PAUSE;
                drop(state);
                let _ = self.folder.mark(&key, used);
            }
            // A full disk, most likely: what else is queued would fail too.
            Err(_) => {
                state.statistics.errors += 1;
                state.statistics.dropped += 1 + state.stores.len() as u64;
                state.stores.clear();
                state.queued.clear();
                state.statistics.queued_bytes = 0;
                state.pause = state.next_pause;
                state.next_pause = LONGEST_PAUSE.min(2 * state.next_pause);
            }
        }
    }

    fn write(&mut self, key: &BlockKey, page: &[u8]) -> io::Result<()> {
        let reopen = std::mem::take(&mut self.shared.lock().reopen);
        if reopen {
            // Whatever happened to the folder meanwhile, it may have been removed.
            self.folder = Folder::open(&self.settings, page.len()).map_err(io::Error::other)?;
        }
        let bytes = self.folder.block_bytes();
        if reopen || self.since_scan > self.settings.bytes / RESCAN_SHARE {
            self.scan()?;
        }
        let gone = {
            let mut state = self.shared.lock();
            let gone = state.index.make_room(bytes, self.settings.bytes);
            state.statistics.evicted += gone.len() as u64;
            gone
        };
        gone.iter().try_for_each(|name| self.folder.remove(name))?;
        self.folder.write(key, page)?;
        self.since_scan += bytes;
        Ok(())
    }
}

impl Drop for Worker {
    /// However the thread ends, nobody may wait for it then.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        let waited: Vec<_> = state.asked.iter().copied().collect();
        for key in waited {
            if state.arrived.iter().all(|(arrived, _)| *arrived != key) {
                state.arrived.push((key, None));
            }
        }
        drop(state);
        self.shared.idle.notify_all();
        (self.wake)();
    }
}
