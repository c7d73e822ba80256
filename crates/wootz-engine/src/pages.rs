//! Who holds which page of the key/value pool.
//!
//! A page is *held* by one or more sequences, or *cached*: it holds a block of the prefix cache that no sequence uses
//! now; or *free*. Together these are all pages, always.

use crate::block::BlockKey;
use crate::metrics::PageCounts;
use crate::prefix::PrefixCache;

/// The pages of a pool, with the number of sequences that hold each.
#[derive(Debug)]
pub(crate) struct Pages {
    free: Vec<u32>,
    /// `[pages]` how many sequences hold it.
    holders: Vec<u32>,
    /// `[pages]` the block of the prefix cache that it holds.
    block: Vec<Option<BlockKey>>,
    cached: usize,
    prefix: PrefixCache,
}

impl Pages {
    /// A pool of `total` pages, all of them free.
    pub(crate) fn new(total: usize) -> Self {
        // Pages are taken from the end: the lowest numbers go first, so that a short run touches little memory.
        let free = (0..total as u32).rev().collect();
        Self {
            free,
            holders: vec![0; total],
            block: vec![None; total],
            cached: 0,
            prefix: PrefixCache::default(),
        }
    }

    /// Pages that can be taken.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.cached
    }

    /// Takes a page that holds nothing of worth, or the one whose block was not used for the longest time.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let page = match self.free.pop() {
            Some(page) => page,
            None => {
                let key = self.prefix.least_recent(|page| self.block[page as usize])?;
                let page = self.prefix.remove(&key)?;
                self.block[page as usize] = None;
                self.cached -= 1;
                page
            }
        };
        self.holders[page as usize] = 1;
        Some(page)
    }

    /// One more sequence holds this page.
    pub(crate) fn share(&mut self, page: u32) {
        let index = page as usize;
        self.holders[index] += 1;
        if self.holders[index] == 1
            && let Some(key) = self.block[index]
        {
            self.cached -= 1;
            self.prefix.set_held(&key, true);
        }
    }

    /// One sequence less holds this page.
    pub(crate) fn release(&mut self, page: u32) {
        let index = page as usize;
        debug_assert!(self.holders[index] > 0, "page {page} is held");
        self.holders[index] -= 1;
        if self.holders[index] == 0 {
            match self.block[index] {
                Some(key) => {
                    self.cached += 1;
                    self.prefix.set_held(&key, false);
                }
                None => self.free.push(page),
            }
        }
    }

    /// How many sequences hold this page.
    pub(crate) fn holders(&self, page: u32) -> u32 {
        self.holders[page as usize]
    }

    /// The page of a block, if the prefix cache has it.
    pub(crate) fn find(&self, key: &BlockKey) -> Option<u32> {
        self.prefix.page(key)
    }

    /// Enters a held page into the prefix cache.
    pub(crate) fn enter(&mut self, key: BlockKey, parent: Option<BlockKey>, page: u32) -> Entered {
        if let Some(other) = self.prefix.page(&key) {
            return if other == page { Entered::Here } else { Entered::Elsewhere(other) };
        }
        if !self.prefix.insert(key, parent, page) {
            return Entered::Orphan;
        }
        self.block[page as usize] = Some(key);
        Entered::Here
    }

    /// Takes a block out of the prefix cache: its page's content is in doubt. False when blocks follow it.
    pub(crate) fn forget(&mut self, key: &BlockKey) -> bool {
        let Some(page) = self.prefix.remove(key) else { return false };
        self.block[page as usize] = None;
        if self.holders[page as usize] == 0 {
            self.cached -= 1;
            self.free.push(page);
        }
        true
    }

    /// How many are what.
    pub(crate) fn counts(&self) -> PageCounts {
        let (free, cached) = (self.free.len(), self.cached);
        PageCounts {
            free: free as u64,
            cached: cached as u64,
            held: (self.holders.len() - free - cached) as u64,
        }
    }

    /// Counts everything anew, and compares.
    pub(crate) fn check(&self) {
        let mut free = vec![false; self.holders.len()];
        self.free.iter().for_each(|&page| {
            assert!(!std::mem::replace(&mut free[page as usize], true), "page {page} is free twice");
        });
        let mut cached = 0;
        for (page, &holders) in self.holders.iter().enumerate() {
            match (free[page], holders, self.block[page]) {
                (true, 0, None) => {}
                (false, 0, Some(_)) => cached += 1,
                (false, 1.., _) => {}
                found => panic!("page {page} is in two states, or lost: {found:?}"),
            }
            if let Some(key) = self.block[page] {
                assert_eq!(self.prefix.page(&key), Some(page as u32));
            }
        }
        assert_eq!(cached, self.cached);
    }
}

/// Where a block is in the prefix cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// In the page that was entered.
    Here,
    /// In this other page, since before.
    Elsewhere(u32),
    /// Nowhere: the block before it is not in the cache, so it would not be found.
    Orphan,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a test does with the pool.
    #[derive(Debug, Clone)]
    enum Action {
        Begin(u8),
        Grow(usize),
        End(usize),
        Forget(usize),
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        let action = prop_oneof![
            (0u8..4).prop_map(Action::Begin),
            (0usize..8).prop_map(Action::Grow),
            (0usize..8).prop_map(Action::Grow),
            (0usize..8).prop_map(Action::End),
            (0usize..8).prop_map(Action::Forget),
        ];
        prop::collection::vec(action, 0..120)
    }

    /// A sequence that holds blocks of a chain.
    struct Chain {
        keys: Vec<BlockKey>,
        pages: Vec<u32>,
    }

    proptest! {
        #[test]
        fn free_cached_and_held_are_all_pages_and_what_is_found_is_a_prefix(
            total in 1usize..12, actions in actions(),
        ) {
            let mut pages = Pages::new(total);
            let mut chains: Vec<Chain> = Vec::new();
            for action in actions {
                match action {
                    Action::Begin(salt) => {
                        let key = BlockKey::root(&[salt]);
                        let found = pages.find(&key);
                        if let Some(page) = found {
                            pages.share(page);
                            chains.push(Chain { keys: vec![key], pages: vec![page] });
                        } else if let Some(page) = pages.take() {
                            prop_assert_eq!(pages.enter(key, None, page), Entered::Here);
                            chains.push(Chain { keys: vec![key], pages: vec![page] });
                        }
                    }
                    Action::Grow(index) if !chains.is_empty() => {
                        let index = index % chains.len();
                        let parent = *chains[index].keys.last().unwrap();
                        let key = parent.child(&[0; 16]);
                        let page = match pages.find(&key) {
                            Some(page) => {
                                pages.share(page);
                                Some(page)
                            }
                            None => pages.take(),
                        };
                        if let Some(page) = page
                            && pages.enter(key, Some(parent), page) == Entered::Here
                        {
                            chains[index].keys.push(key);
                            chains[index].pages.push(page);
                        } else if let Some(page) = page {
                            pages.release(page);
                        }
                    }
                    Action::End(index) if !chains.is_empty() => {
                        let chain = chains.swap_remove(index % chains.len());
                        chain.pages.into_iter().rev().for_each(|page| pages.release(page));
                    }
                    Action::Forget(index) if !chains.is_empty() => {
                        let chain = chains.swap_remove(index % chains.len());
                        for key in chain.keys.iter().rev() {
                            if !pages.forget(key) {
                                break;
                            }
                        }
                        chain.pages.into_iter().rev().for_each(|page| pages.release(page));
                    }
                    _ => {}
                }
                pages.check();
                let counts = pages.counts();
                prop_assert_eq!(counts.free + counts.cached + counts.held, total as u64);
                let mut held: Vec<u32> = chains.iter().flat_map(|chain| chain.pages.clone()).collect();
                held.sort_unstable();
                held.dedup();
                prop_assert_eq!(counts.held, held.len() as u64);
            }
            chains.into_iter().flat_map(|chain| chain.pages).for_each(|page| pages.release(page));
            let taken = std::iter::from_fn(|| pages.take()).count();
            prop_assert_eq!(taken, total);
        }
    }
}
