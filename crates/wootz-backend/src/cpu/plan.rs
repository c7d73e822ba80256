//! What the threads of a step need to know of it, worked out once before they start.

use std::ops::Range;

use super::attention::AttentionShape;
use crate::step::{PAGE_TOKENS, Step, StepLimits};

/// Neighbouring rows of one sequence whose attention is computed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileRows {
    /// The rows.
    pub rows: Range<usize>,
    /// Their sequence's place in the step.
    pub sequence: usize,
}

/// A step, cut into pieces of work. Its vectors keep their memory from step to step.
#[derive(Debug, Default)]
pub struct Plan {
    /// The step.
    pub step: Step,
    /// The rows in pieces that no two of which write to the same page, with each piece's sequence.
    pub pieces: Vec<TileRows>,
    /// The rows in tiles for attention, those with the longest context first.
    pub tiles: Vec<TileRows>,
}

impl Plan {
    /// An empty plan with memory for any step within `limits`, tiles of `tile_rows` rows.
    pub fn with_room(limits: &StepLimits) -> Self {
        let step = Step {
            tokens: Vec::with_capacity(limits.rows),
            positions: Vec::with_capacity(limits.rows),
            sequences: Vec::with_capacity(limits.rows),
            page_table: Vec::with_capacity(limits.pages),
            sample_rows: Vec::with_capacity(limits.samples),
            copies: Vec::with_capacity(limits.rows),
        };
        Self { step, pieces: Vec::with_capacity(limits.rows), tiles: Vec::with_capacity(limits.rows) }
    }

    /// Plans `step`, in tiles of at most `tile_rows` rows.
    pub fn set(&mut self, step: &Step, tile_rows: usize) {
        self.step.clone_from(step);
        self.pieces.clear();
        self.tiles.clear();
        for (number, sequence) in step.sequences.iter().enumerate() {
            let mut row = sequence.rows.start;
            while row < sequence.rows.end {
                let in_page = PAGE_TOKENS - step.positions[row] as usize % PAGE_TOKENS;
                let end = sequence.rows.end.min(row + in_page);
                self.pieces.push(TileRows { rows: row..end, sequence: number });
                row = end;
            }
            for start in sequence.rows.clone().step_by(tile_rows) {
                let rows = start..sequence.rows.end.min(start + tile_rows);
                self.tiles.push(TileRows { rows, sequence: number });
            }
        }
        let positions = &self.step.positions;
        self.tiles.sort_unstable_by_key(|tile| std::cmp::Reverse(positions[tile.rows.start]));
    }

    /// Whether every thread computes what belongs to the one row itself, rather than waiting for another.
    pub fn single(&self) -> bool {
        self.step.tokens.len() == 1
    }

    /// The page ids of a sequence.
    pub fn pages(&self, sequence: usize) -> &[u32] {
        &self.step.page_table[self.step.sequences[sequence].pages.clone()]
    }

    /// One past the last partition that any row sees.
    pub fn partitions(&self, shape: &AttentionShape) -> usize {
        self.step.positions.iter().map(|&position| shape.partitions(position).end).max().unwrap_or(0)
    }
}
