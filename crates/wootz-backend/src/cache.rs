//! The one page format of the key/value cache: the same bytes in a device's pool, on disk and on the wire.
//!
//! A pool is an array of f16 laid out `[page][layer][key/value head]`. Each such *cell* holds the
//! [`PAGE_TOKENS`] tokens of its page for one head of one layer:
//!
//! ```text
//! K transposed   [head_dim][16 tokens]
//! V              [16 tokens][head_dim]
//! ```
//!
//! K is transposed because scores of 16 tokens against one query are then 16 lanes that each add up over
//! `head_dim`, and V is not because the weighted sum over tokens has `head_dim` lanes: neither loop ever
//! adds across lanes.

use std::ops::Range;

use crate::error::BackendError;
use crate::step::PAGE_TOKENS;

/// Shape of the key/value cache that a program needs: the same in every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Layers with a cache.
    pub layers: usize,
    /// Key heads, and as many value heads.
    pub kv_heads: usize,
    /// Elements in a head.
    pub head_dim: usize,
}

impl CacheShape {
    /// Elements (f16) of one page: 16 tokens of K and V in every layer.
    pub fn page_elements(&self) -> usize {
        self.layers * self.kv_heads * self.cell_elements()
    }

    /// Bytes of one page.
    pub fn page_bytes(&self) -> usize {
        self.page_elements() * size_of::<half::f16>()
    }

    /// Elements (f16) of a pool of `pages`; `None` where that is more than an address can say.
    pub fn pool_elements(&self, pages: usize) -> Option<usize> {
        pages.checked_mul(self.page_elements()).filter(|&elements| elements <= isize::MAX as usize / 2)
    }

    /// The elements (f16) of a page in a pool of `pages`, for one who copies it to or from `bytes` bytes.
    ///
    /// # Errors
    /// [`BackendError::Page`] when there is no such page or `bytes` is not [`CacheShape::page_bytes`].
    pub fn page_range(&self, page: u32, pages: usize, bytes: usize) -> Result<Range<usize>, BackendError> {
        let page_bytes = self.page_bytes();
        if page as usize >= pages || bytes != page_bytes {
            return Err(BackendError::Page { page, found: bytes, pages, page_bytes });
        }
        let start = page as usize * self.page_elements();
        Ok(start..start + self.page_elements())
    }

    /// Elements (f16) of one cell: 16 tokens of K and V of one head of one layer.
    pub fn cell_elements(&self) -> usize {
        2 * self.value_offset()
    }

    /// Where in the pool the cell of a page, a layer and a key/value head begins.
    pub fn cell_offset(&self, page: usize, layer: usize, kv_head: usize) -> usize {
        ((page * self.layers + layer) * self.kv_heads + kv_head) * self.cell_elements()
    }

    /// Where in a cell its values begin; its keys begin at 0.
    pub fn value_offset(&self) -> usize {
        self.head_dim * PAGE_TOKENS
    }

    /// Where in a cell element `dim` of the key of the page's token `slot` is.
    pub fn key_element(&self, slot: usize, dim: usize) -> usize {
        dim * PAGE_TOKENS + slot
    }

    /// Where in a cell element `dim` of the value of the page's token `slot` is.
    pub fn value_element(&self, slot: usize, dim: usize) -> usize {
        self.value_offset() + slot * self.head_dim + dim
    }
}

/// Pages that hold `tokens` tokens.
pub fn pages_for(tokens: usize) -> usize {
    tokens.div_ceil(PAGE_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_pool_has_one_place() {
        let shape = CacheShape { layers: 2, kv_heads: 3, head_dim: 4 };
        let pages = 2;
        let mut seen = vec![0; shape.pool_elements(pages).unwrap()];
        for (page, layer) in (0..pages).flat_map(|page| (0..2).map(move |layer| (page, layer))) {
            for (head, slot) in (0..3).flat_map(|head| (0..PAGE_TOKENS).map(move |slot| (head, slot))) {
                let cell = shape.cell_offset(page, layer, head);
                for dim in 0..4 {
                    seen[cell + shape.key_element(slot, dim)] += 1;
                    seen[cell + shape.value_element(slot, dim)] += 1;
                }
            }
        }
        assert!(seen.iter().all(|&count| count == 1));
    }

    #[test]
    fn an_absurd_pool_has_no_size() {
        let shape = CacheShape { layers: 80, kv_heads: 8, head_dim: 128 };
        assert_eq!(shape.pool_elements(usize::MAX / 2), None);
        assert_eq!(shape.page_bytes(), 80 * 8 * 128 * 2 * 16 * 2);
    }
}
