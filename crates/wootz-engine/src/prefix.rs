//! The prefix cache: which page holds which block, and which of them goes first when pages are needed.
//!
//! Blocks form a tree: a block's parent is the block of the tokens before it. A block that is in the cache has all its
//! ancestors there, so what is found is always a prefix. Only leaves that nobody holds can go, least recently used
//! first.

use std::collections::{BTreeSet, HashMap};

use crate::block::BlockKey;

/// Blocks by their key. Every change takes O(log n).
#[derive(Debug, Default)]
pub(crate) struct PrefixCache {
    blocks: HashMap<BlockKey, Block>,
    /// Leaves that nobody holds: when they were last used, and their page.
    idle_leaves: BTreeSet<(u64, u32)>,
    /// Counts uses.
    clock: u64,
}

/// A block in the cache.
#[derive(Debug)]
struct Block {
    page: u32,
    /// `None`: it is a sequence's first.
    parent: Option<BlockKey>,
    /// Blocks in the cache that follow it.
    children: u32,
    /// Whether a sequence holds its page.
    held: bool,
    last_used: u64,
}

impl Block {
    fn idle_leaf(&self) -> Option<(u64, u32)> {
        (!self.held && self.children == 0).then_some((self.last_used, self.page))
    }
}

impl PrefixCache {
    /// The page of a block.
    pub(crate) fn page(&self, key: &BlockKey) -> Option<u32> {
        self.blocks.get(key).map(|block| block.page)
    }

    /// Enters a block whose page a sequence holds. False if its parent is not there, so that it can't be found.
    pub(crate) fn insert(&mut self, key: BlockKey, parent: Option<BlockKey>, page: u32) -> bool {
        if let Some(parent) = parent {
            let Some(block) = self.blocks.get_mut(&parent) else { return false };
            if let Some(leaf) = block.idle_leaf() {
                self.idle_leaves.remove(&leaf);
            }
            block.children += 1;
        }
        self.clock += 1;
        let block = Block { page, parent, children: 0, held: true, last_used: self.clock };
        let before = self.blocks.insert(key, block);
        debug_assert!(before.is_none(), "a block has one page");
        true
    }

    /// Notes that sequences hold a block's page, or that none does any more.
    pub(crate) fn set_held(&mut self, key: &BlockKey, held: bool) {
        let Some(block) = self.blocks.get_mut(key) else { return };
        if let Some(leaf) = block.idle_leaf() {
            self.idle_leaves.remove(&leaf);
        }
        self.clock += 1;
        (block.held, block.last_used) = (held, self.clock);
        if let Some(leaf) = block.idle_leaf() {
            self.idle_leaves.insert(leaf);
        }
    }

    /// The key of the block that goes first, if any can.
    pub(crate) fn least_recent(&self, key_of: impl Fn(u32) -> Option<BlockKey>) -> Option<BlockKey> {
        self.idle_leaves.first().and_then(|&(_, page)| key_of(page))
    }

    /// Takes out a block that none follows; its page. `None` if blocks follow it, or it is not there.
    pub(crate) fn remove(&mut self, key: &BlockKey) -> Option<u32> {
        if self.blocks.get(key)?.children > 0 {
            return None;
        }
        let block = self.blocks.remove(key)?;
        self.idle_leaves.remove(&(block.last_used, block.page));
        if let Some(parent) = block.parent.and_then(|parent| self.blocks.get_mut(&parent)) {
            parent.children -= 1;
            if let Some(leaf) = parent.idle_leaf() {
                self.idle_leaves.insert(leaf);
            }
        }
        Some(block.page)
    }
}
