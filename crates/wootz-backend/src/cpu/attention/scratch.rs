//! What attention computes in.

use super::blocks::{Block, PARTITION_PAGES, PARTITION_TOKENS, Scores};
use super::softmax::Mass;
use super::tile::TILE_QUERIES;
use crate::cpu::simd::arena::Shared;
use crate::cpu::simd::lanes::LANES;

/// A thread's working memory for tiles of one model.
#[derive(Debug)]
pub struct Scratch {
    /// `[block][head_dim][queries of the block]`, scaled.
    pub(super) queries: Vec<f32>,
    pub(super) scores: Vec<Scores>,
    pub(super) part: Vec<Block<f32>>,
    pub(super) total: Vec<Block<f32>>,
    pub(super) part_mass: Vec<Mass>,
    pub(super) total_mass: Vec<Mass>,
    pub(super) keys: Vec<Block<f32>>,
    pub(super) values: Vec<Block<f32>>,
}

impl Scratch {
    /// Working memory for heads of `head_dim`, `group` of them to a key/value head.
    pub fn new(head_dim: usize, group: usize) -> Self {
        let queries = (TILE_QUERIES / group.max(1)).max(1) * group;
        let vectors = head_dim.div_ceil(LANES);
        let zero = [0.0; LANES];
        Self {
            queries: vec![0.0; queries * head_dim],
            scores: vec![[zero; PARTITION_PAGES]; queries],
            part: vec![zero; queries * vectors],
            total: vec![zero; queries * vectors],
            part_mass: vec![Mass::default(); queries],
            total_mass: vec![Mass::default(); queries],
            keys: vec![zero; PARTITION_PAGES * head_dim],
            values: vec![zero; PARTITION_TOKENS * vectors],
        }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        let blocks = self.part.len() + self.total.len() + self.keys.len() + self.values.len();
        self.queries.len() * 4 + self.scores.len() * size_of::<Scores>() + blocks * size_of::<Block<f32>>()
    }
}

/// Where the parts of single queries wait until they are combined: `[query][partition]`.
#[derive(Debug)]
pub struct Partials {
    masses: Shared<f32>,
    sums: Shared<f32>,
    partitions: usize,
    queries: usize,
    pub(super) vectors: usize,
}

impl Partials {
    /// Room for `queries` queries over `partitions` partitions.
    pub fn new(queries: usize, partitions: usize, head_dim: usize) -> std::io::Result<Self> {
        let vectors = head_dim.div_ceil(LANES);
        let places = queries.saturating_mul(partitions);
        let masses = Shared::zeroed(places.saturating_mul(2))?;
        let sums = Shared::zeroed(places.saturating_mul(vectors * LANES))?;
        Ok(Self { masses, sums, partitions, queries, vectors })
    }

    /// Whether `queries` queries over `partitions` partitions fit.
    pub fn hold(&self, queries: usize, partitions: usize) -> bool {
        queries <= self.queries && partitions <= self.partitions
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.masses.bytes() + self.sums.bytes()
    }

    pub(super) fn write(&self, query: usize, partition: usize, mass: Mass, sums: &[Block<f32>]) {
        let place = query * self.partitions + partition;
        self.masses.write(place * 2..place * 2 + 2).copy_from_slice(&[mass.largest, mass.sum]);
        let width = self.vectors * LANES;
        self.sums.write(place * width..(place + 1) * width).copy_from_slice(sums.as_flattened());
    }

    pub(super) fn read(&self, query: usize, partition: usize) -> (Mass, &[Block<f32>]) {
        let place = query * self.partitions + partition;
        let mass = self.masses.read(place * 2..place * 2 + 2);
        let width = self.vectors * LANES;
        let sums = self.sums.read(place * width..(place + 1) * width).as_chunks().0;
        (Mass { largest: mass[0], sum: mass[1] }, sums)
    }
}
