//! The cache as the engine's thread sees it: nothing here waits for a disk.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use super::folder::Folder;
use super::index::{Index, Name, Used};
use super::worker::Worker;
use super::{DiskError, DiskSettings, DiskStatistics, Stored};
use crate::block::BlockKey;

/// Bytes that may wait to be written. Four steps of 512 rows of a model whose pages take 1 MiB.
const QUEUE_BYTES: u64 = 128 << 20;
/// Blocks whose time of use waits to be written; more keep their old one.
const QUEUED_TOUCHES: usize = 4096;
/// Blocks that are dropped after an error before writing is tried again; twice as many after the next error.
pub(super) const FIRST_PAUSE: u64 = 64;

/// What the engine's thread and the cache's own share.
#[derive(Debug, Default)]
pub(super) struct State {
    pub index: Index,
    /// Oldest first.
    pub fetches: VecDeque<BlockKey>,
    /// Oldest first.
    pub stores: VecDeque<(BlockKey, Vec<u8>)>,
    /// The keys of `stores`, and of the block that is being written.
    pub queued: HashSet<BlockKey>,
    /// Blocks that were used while they were on disk, and when; their files are to be marked. Oldest first.
    pub touches: VecDeque<(BlockKey, Used)>,
    /// What was fetched and was not taken yet.
    pub arrived: Vec<(BlockKey, Option<Vec<u8>>)>,
    /// What was fetched, until it is taken.
    pub asked: HashSet<BlockKey>,
    pub statistics: DiskStatistics,
    /// Blocks to drop before writing is tried again.
    pub pause: u64,
    /// How long the next pause is.
    pub next_pause: u64,
    /// The folder has to be opened and looked at anew.
    pub reopen: bool,
    /// The thread is at work on something that is in no queue.
    pub busy: bool,
    /// The cache is being dropped: what is stored is written, then the thread ends.
    pub stopping: bool,
    /// The thread has ended.
    pub ended: bool,
}

impl State {
    pub(super) fn is_idle(&self) -> bool {
        let idle = self.fetches.is_empty() && self.stores.is_empty() && self.touches.is_empty();
        self.ended || (idle && !self.busy)
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is work.
    pub work: Condvar,
    /// There is none left.
    pub idle: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blocks of one model on disk. See the [module](super).
#[derive(Debug)]
pub struct DiskCache {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    page_bytes: usize,
    block_bytes: u64,
    cap: u64,
}

impl DiskCache {
    /// Opens the folder, finds what it holds, and starts the thread that reads and writes. `wake` is called by that thread
    /// whenever a block that was fetched has arrived.
    ///
    /// # Errors
    /// When the folder can't be made or read, or there is no thread to be had.
    pub fn open(
        settings: &DiskSettings,
        page_bytes: usize,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, DiskError> {
        let folder = Folder::open(settings, page_bytes)?;
        let block_bytes = folder.block_bytes();
        let shared = Arc::new(Shared::default());
        shared.lock().next_pause = FIRST_PAUSE;
        let mut worker = Worker::new(shared.clone(), folder, settings.clone(), Box::new(wake));
        let refused =
            |error: std::io::Error| DiskError { folder: settings.folder.clone(), reason: error.to_string() };
        worker.scan().map_err(refused)?;
        let thread = std::thread::Builder::new().name("wootz-disk".into()).spawn(move || worker.run());
        let thread = Some(thread.map_err(refused)?);
        Ok(Self { shared, thread, page_bytes, block_bytes, cap: settings.bytes })
    }

    /// Whether a block is there, or will be once it is written. Another process may remove it at any time.
    pub fn contains(&self, key: &BlockKey) -> bool {
        let state = self.shared.lock();
        !state.ended && (state.queued.contains(key) || state.index.contains(&own(key)))
    }

    /// Makes a block the last one used, where it is known: what is in use in memory should not be the first to go from the
    /// disk. The answer is whether it is there, or will be once it is written.
    pub fn touch(&self, key: &BlockKey) -> bool {
        let mut state = self.shared.lock();
        !state.ended && (state.queued.contains(key) || self.touch_in(&mut state, *key))
    }

    fn touch_in(&self, state: &mut State, key: BlockKey) -> bool {
        let Some(used) = state.index.touch(&own(&key), SystemTime::now()) else { return false };
        if state.touches.len() < QUEUED_TOUCHES {
            state.touches.push_back((key, used));
            self.shared.work.notify_one();
        }
        true
    }

    /// Asks for a block, which will be among what [`DiskCache::fetched`] gives: once, however often it is asked for until
    /// then. The caller takes what it asks for: pages wait in memory until it does.
    pub fn fetch(&self, key: BlockKey) {
        let mut state = self.shared.lock();
        if !state.asked.insert(key) {
            return;
        }
        if state.ended {
            state.arrived.push((key, None));
        } else {
            state.fetches.push_back(key);
            self.shared.work.notify_one();
        }
    }

    /// The blocks that have arrived since, each with its page; `None` when it is not there, or no more, or damaged.
    pub fn fetched(&self) -> Vec<(BlockKey, Option<Vec<u8>>)> {
        let mut state = self.shared.lock();
        let arrived = std::mem::take(&mut state.arrived);
        arrived.iter().for_each(|(key, _)| {
            state.asked.remove(key);
        });
        arrived
    }

    /// Hands over a block to be written, of [`CacheShape::page_bytes`](wootz_backend::cache::CacheShape::page_bytes).
    /// What was queued is written even if the cache is dropped.
    ///
    /// # Panics
    /// When the page has another length: that is a mistake of the program.
    pub fn store(&self, key: BlockKey, page: Vec<u8>) -> Stored {
        assert_eq!(page.len(), self.page_bytes, "bytes of a page");
        let mut state = self.shared.lock();
        if state.queued.contains(&key) {
            return Stored::Known;
        }
        if self.touch_in(&mut state, key) {
            return Stored::Known;
        }
        if state.pause > 0 {
            state.pause -= 1;
            state.reopen = state.pause == 0;
            state.statistics.dropped += 1;
            return Stored::Paused;
        }
        let bytes = page.len() as u64;
        let fits = state.stores.is_empty() || state.statistics.queued_bytes + bytes <= QUEUE_BYTES;
        if self.block_bytes > self.cap || !fits || state.ended {
            state.statistics.dropped += 1;
            return Stored::Full;
        }
        state.statistics.queued_bytes += bytes;
        state.queued.insert(key);
        state.stores.push_back((key, page));
        self.shared.work.notify_one();
        Stored::Queued
    }

    /// Waits until everything asked for has been read and everything stored has been written (or given up).
    pub fn flush(&self) {
        let mut state = self.shared.lock();
        while !state.is_idle() {
            state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What it has done, and what it holds.
    pub fn statistics(&self) -> DiskStatistics {
        let state = self.shared.lock();
        let (bytes, blocks) = (state.index.bytes(), state.index.len() as u64);
        DiskStatistics { bytes, blocks, paused: state.pause > 0, ..state.statistics }
    }
}

impl Drop for DiskCache {
    /// Writes what is queued.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        state.fetches.clear();
        drop(state);
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A block of the cache's own model.
pub(super) fn own(key: &BlockKey) -> Name {
    Name { model: 0, key: *key }
}
