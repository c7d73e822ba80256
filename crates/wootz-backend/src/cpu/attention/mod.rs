//! Softmax attention over the paged cache.
//!
//! The queries of a few neighbouring rows that share a key/value head make a [`Tile`]. A tile walks its
//! context in partitions of 256 tokens: scores, softmax and weighted sum within a partition, then the
//! partitions combined in order. Tiles, blocks and threads only choose what shares a loaded page: each
//! query's arithmetic is the same in decoding, in any chunk of a prompt, and on any number of threads.

pub mod blocks;
pub mod scratch;
pub mod softmax;
pub mod tile;

#[cfg(test)]
mod tests;

pub use scratch::{Partials, Scratch};
pub use tile::{AttentionShape, Tile};
