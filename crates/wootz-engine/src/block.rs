//! Blocks: what a full page holds, by name.

use std::fmt;

use wootz_backend::step::PAGE_TOKENS;

/// Names the content of a full page: a hash of the page's tokens, of all tokens before them, and of the model that
/// computed it. Two sequences with the same beginning have the same keys, in every process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey(pub [u8; 32]);

impl BlockKey {
    /// The parent of a sequence's first block: blake3 of what pages depend on besides tokens (the model's fingerprint,
    /// an adapter).
    pub fn root(salt: &[u8]) -> Self {
        Self(blake3::hash(salt).into())
    }

    /// The block of `tokens` after this one: blake3 of this key and the tokens as little-endian u32s.
    pub fn child(&self, tokens: &[u32; PAGE_TOKENS]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        tokens.iter().for_each(|token| {
            hasher.update(&token.to_le_bytes());
        });
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for BlockKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BlockKey({self})")
    }
}
