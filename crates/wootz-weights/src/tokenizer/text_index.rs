//! From the text of a token to its id, over texts that lie in one allocation.
//!
//! The usual map of owned strings takes an allocation a token and twice the time: vocabularies of 150,000 tokens are
//! indexed each time a model is loaded.

use std::sync::Arc;

use crate::gguf::Strings;

/// No token.
const EMPTY: u32 = u32::MAX;

/// An open-addressed table of ids; among equal texts the last id wins.
#[derive(Debug, Clone)]
pub(super) struct TextIndex {
    texts: Arc<Strings>,
    /// A power of two of slots, at most half of them taken.
    slots: Vec<u32>,
    hasher: ahash::RandomState,
}

impl TextIndex {
    pub(super) fn new(texts: Arc<Strings>) -> TextIndex {
        let slots = vec![EMPTY; (texts.len() * 2).next_power_of_two()];
        let mut index = TextIndex { texts: Arc::clone(&texts), slots, hasher: ahash::RandomState::new() };
        for (id, text) in texts.iter().enumerate() {
            let slot = index.slot(text);
            index.slots[slot] = id as u32;
        }
        index
    }

    /// Where a text is, or would be.
    fn slot(&self, text: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(text) as usize & mask;
        while self.slots[slot] != EMPTY && self.texts.get(self.slots[slot] as usize) != Some(text) {
            slot = (slot + 1) & mask;
        }
        slot
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        Some(self.slots[self.slot(text)]).filter(|id| *id != EMPTY)
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_found_and_no_other() {
        for count in [0usize, 1, 2, 100, 1000] {
            let texts: Strings = (0..count).map(|number| format!("t{number}")).collect();
            let index = TextIndex::new(Arc::new(texts));
            for number in 0..count {
                assert_eq!(index.id(&format!("t{number}")), Some(number as u32));
            }
            assert_eq!((index.id("t"), index.id(""), index.len()), (None, None, count));
        }
        let doubles: Strings = ["a", "b", "a"].into_iter().collect();
        assert_eq!(TextIndex::new(Arc::new(doubles)).id("a"), Some(2));
    }
}
