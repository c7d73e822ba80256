//! Who holds which page of the key/value pool.

/// The right to use one page of the pool. It cannot be copied, so a page has one holder at a time.
#[derive(Debug, PartialEq, Eq)]
pub struct Page(u32);

impl Page {
    /// Its number in the device's pool.
    pub fn id(&self) -> u32 {
        self.0
    }
}

/// The pages that nobody holds. Free and held pages together are all pages, always.
#[derive(Debug)]
pub struct PagePool {
    free: Vec<Page>,
    total: usize,
}

impl PagePool {
    /// A pool of `total` pages, all of them free.
    pub fn new(total: usize) -> Self {
        let ids = 0..u32::try_from(total).unwrap_or(u32::MAX);
        // Pages are taken from the end: the lowest numbers go first, so that a short run touches little memory.
        let free: Vec<Page> = ids.rev().map(Page).collect();
        Self { total: free.len(), free }
    }

    /// Moves `count` free pages to `holder`, or none if there are too few.
    #[must_use]
    pub fn take(&mut self, count: usize, holder: &mut Vec<Page>) -> Taken {
        if count > self.free.len() {
            return Taken::TooFew;
        }
        holder.extend(self.free.drain(self.free.len() - count..).rev());
        Taken::All
    }

    /// Frees pages.
    pub fn give_back(&mut self, pages: impl IntoIterator<Item = Page>) {
        self.free.extend(pages);
        debug_assert!(self.free.len() <= self.total);
    }

    /// Pages that nobody holds.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Pages that somebody holds.
    pub fn held(&self) -> usize {
        self.total - self.free.len()
    }

    /// All pages.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// Whether the pages asked for were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All were taken.
    All,
    /// None was taken.
    TooFew,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn free_and_held_are_all_pages(total in 0usize..50, actions in prop::collection::vec((any::<bool>(), 0usize..20), 0..60)) {
            let mut pool = PagePool::new(total);
            let mut holders: Vec<Vec<Page>> = Vec::new();
            for (take, number) in actions {
                if take {
                    let mut pages = Vec::new();
                    let before = pool.free();
                    match pool.take(number, &mut pages) {
                        Taken::All => prop_assert_eq!(pages.len(), number),
                        Taken::TooFew => prop_assert!(number > before && pages.is_empty()),
                    }
                    holders.push(pages);
                } else if !holders.is_empty() {
                    let pages = holders.swap_remove(number % holders.len());
                    pool.give_back(pages);
                }
                let held: Vec<u32> = holders.iter().flatten().map(Page::id).collect();
                let distinct: BTreeSet<u32> = held.iter().copied().collect();
                prop_assert_eq!(held.len(), distinct.len());
                prop_assert!(held.iter().all(|&id| (id as usize) < total));
                prop_assert_eq!(pool.held(), held.len());
                prop_assert_eq!(pool.free() + pool.held(), pool.total());
            }
        }
    }
}
