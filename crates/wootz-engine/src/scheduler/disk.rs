//! The disk tier: blocks that are fetched for a sequence become blocks of the prefix cache; blocks that are computed are
//! stored behind.
//!
//! Nothing waits for the disk. A sequence whose next block is on its way has no rows meanwhile; others go on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use wootz_backend::model::Model;
use wootz_backend::step::PAGE_TOKENS;

use crate::block::BlockKey;
use crate::disk::DiskCache;
use crate::pages::Entered;
use crate::sequence::Sequence;

use super::Scheduler;

/// Blocks that are fetched ahead for one sequence.
const AHEAD: usize = 32;

/// What goes to the disk and comes from it.
#[derive(Debug, Default)]
pub(super) struct DiskTier {
    cache: Option<Arc<DiskCache>>,
    /// Blocks that were asked for, with the block before each.
    fetching: HashMap<BlockKey, Option<BlockKey>>,
    arrived: Vec<(BlockKey, Option<Vec<u8>>)>,
    /// Blocks that were entered into the prefix cache and may be unknown to the disk.
    to_store: Vec<(BlockKey, u32)>,
}

impl DiskTier {
    /// Asks for the next blocks of a sequence that are on disk, once for each. Whether the next one is on its way.
    pub(super) fn fetch(&mut self, sequence: &mut Sequence, usable: usize, root: &BlockKey) -> bool {
        let Some(cache) = &self.cache else { return false };
        let first = sequence.computed / PAGE_TOKENS;
        let last = (usable / PAGE_TOKENS).min(first + AHEAD);
        for index in first.max(sequence.fetched)..last {
            let key = sequence.key(index, root);
            if let Entry::Vacant(unasked) = self.fetching.entry(key) {
                if !cache.contains(&key) {
                    break;
                }
                cache.fetch(key);
                unasked.insert(index.checked_sub(1).map(|before| sequence.known_keys()[before]));
            }
            sequence.fetched = index + 1;
        }
        first < last && self.fetching.contains_key(&sequence.key(first, root))
    }

    /// Notes that a block was of use in memory.
    pub(super) fn used(&self, key: &BlockKey) {
        if let Some(cache) = &self.cache {
            cache.touch(key);
        }
    }

    /// Notes a block that was computed.
    pub(super) fn note(&mut self, key: BlockKey, page: u32) {
        if self.cache.is_some() {
            self.to_store.push((key, page));
        }
    }
}

impl Scheduler {
    /// Keeps blocks on disk, too.
    pub fn with_disk(mut self, cache: Arc<DiskCache>) -> Self {
        self.disk.cache = Some(cache);
        self
    }

    /// Whether fetched blocks wait to be written to the pool, for which no step may be under way.
    pub fn has_arrivals(&mut self) -> bool {
        if let Some(cache) = &self.disk.cache
            && !self.disk.fetching.is_empty()
        {
            self.disk.arrived.extend(cache.fetched());
        }
        !self.disk.arrived.is_empty()
    }

    /// Writes the blocks that have arrived to pages, and enters them into the prefix cache. What is damaged, or finds no
    /// page, is computed instead. To be called when no step is under way.
    pub fn restore(&mut self, model: &mut dyn Model) {
        if !self.has_arrivals() {
            return;
        }
        for (key, bytes) in std::mem::take(&mut self.disk.arrived) {
            let Some(parent) = self.disk.fetching.remove(&key) else { continue };
            let reachable = parent.is_none_or(|parent| self.pages.find(&parent).is_some());
            let (Some(bytes), true, None) = (bytes, reachable, self.pages.find(&key)) else { continue };
            // The parent must not be what goes for it.
            let held = parent.and_then(|parent| self.pages.find(&parent));
            held.into_iter().for_each(|page| self.pages.share(page));
            if let Some(page) = self.pages.take() {
                if model.write_page(page, &bytes).is_ok() {
                    let entered = self.pages.enter(key, parent, page);
                    debug_assert_eq!(entered, Entered::Here);
                }
                self.pages.release(page);
            }
            held.into_iter().for_each(|page| self.pages.release(page));
        }
    }

    /// Hands the blocks that were computed to the disk. To be called before the next step is planned.
    pub fn store(&mut self, model: &mut dyn Model) {
        let Some(cache) = &self.disk.cache else { return };
        for (key, page) in self.disk.to_store.drain(..) {
            if self.pages.find(&key) != Some(page) || cache.touch(&key) {
                continue;
            }
            let mut bytes = vec![0; model.cache().page_bytes()];
            if model.read_page(page, &mut bytes).is_ok() {
                // A block that is not stored is computed again one day.
                let _ = cache.store(key, bytes);
            }
        }
    }
}
