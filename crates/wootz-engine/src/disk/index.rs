//! Which blocks are on disk, and in which order they were used.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::block::BlockKey;

/// Blocks that an index remembers at most: with some 130 bytes each, 17 MB. A folder with more loses some.
pub const MOST_BLOCKS: usize = 1 << 17;

/// A block of one of the models in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    /// The model, by the place of its folder in the list that the scan made; the cache's own is 0.
    pub model: u16,
    /// The block.
    pub key: BlockKey,
}

/// When a block was used: microseconds since 1970, and never the same for two blocks. In this order the index has them, and
/// as a file's time of modification it outlives a restart. Later uses have later times even if the clock is set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Used(u64);

impl Used {
    /// The time that a clock or a file shows.
    pub fn at(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// As a file's time.
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_micros(self.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// The blocks of a folder, least recently used first.
#[derive(Debug, Default)]
pub struct Index {
    blocks: HashMap<Name, Block>,
    order: BTreeMap<Used, Name>,
    /// Later than all uses so far.
    next: Used,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    used: Used,
    bytes: u64,
}

impl Index {
    /// Takes note of a block that takes so many bytes and is the last one used. The answer is the time that it is used at:
    /// `now`, or a little later.
    pub fn insert(&mut self, name: Name, bytes: u64, now: SystemTime) -> Used {
        self.remove(&name);
        let used = Used::at(now).max(self.next);
        self.blocks.insert(name, Block { used, bytes });
        self.order.insert(used, name);
        self.next = Used(used.0.saturating_add(1));
        self.bytes += bytes;
        used
    }

    /// Forgets a block.
    pub fn remove(&mut self, name: &Name) {
        if let Some(Block { used, bytes }) = self.blocks.remove(name) {
            self.order.remove(&used);
            self.bytes -= bytes;
        }
    }

    /// Makes a block the last one used. The answer is the time that it is used at, if it is known.
    pub fn touch(&mut self, name: &Name, now: SystemTime) -> Option<Used> {
        let bytes = self.blocks.get(name)?.bytes;
        Some(self.insert(*name, bytes, now))
    }

    /// Whether a block is known.
    pub fn contains(&self, name: &Name) -> bool {
        self.blocks.contains_key(name)
    }

    /// Forgets blocks, least recently used first, until `room` more bytes are within `cap`, and one more block is
    /// within [`MOST_BLOCKS`]. The answer is which.
    pub fn make_room(&mut self, room: u64, cap: u64) -> Vec<Name> {
        let mut gone = Vec::new();
        while self.bytes.saturating_add(room) > cap || self.blocks.len() >= MOST_BLOCKS {
            let Some((_, name)) = self.order.pop_first() else { break };
            self.remove(&name);
            gone.push(name);
        }
        gone
    }

    /// Bytes of all blocks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: u8) -> Name {
        Name { model: 0, key: BlockKey([number; 32]) }
    }

    proptest! {
        /// Against a list of names in the order of their use.
        #[test]
        fn it_is_a_list_in_order_of_use(actions in prop::collection::vec((0_u8..4, 0_u8..12, 1_u64..50), 0..80)) {
            let mut index = Index::default();
            let mut list: Vec<(u8, u64)> = Vec::new();
            // A clock that goes back all the time changes nothing.
            let mut ticks = 1000;
            let mut clock = || {
                ticks -= 1;
                UNIX_EPOCH + Duration::from_secs(ticks)
            };
            for (action, number, bytes) in actions {
                match action {
                    0 => {
                        index.insert(name(number), bytes, clock());
                        list.retain(|(known, _)| *known != number);
                        list.push((number, bytes));
                    }
                    1 => {
                        index.remove(&name(number));
                        list.retain(|(known, _)| *known != number);
                    }
                    2 => {
                        let place = list.iter().position(|(known, _)| *known == number);
                        prop_assert_eq!(index.touch(&name(number), clock()).is_some(), place.is_some());
                        if let Some(place) = place {
                            let block = list.remove(place);
                            list.push(block);
                        }
                    }
                    _ => {
                        let gone = index.make_room(bytes, 100);
                        let mut expected = Vec::new();
                        while list.iter().map(|(_, bytes)| bytes).sum::<u64>() + bytes > 100 {
                            expected.push(name(list.remove(0).0));
                        }
                        prop_assert_eq!(gone, expected);
                    }
                }
                prop_assert_eq!(index.len(), list.len());
                prop_assert_eq!(index.bytes(), list.iter().map(|(_, bytes)| bytes).sum::<u64>());
                prop_assert!(list.iter().all(|(known, _)| index.contains(&name(*known))));
            }
        }
    }
}
