//! What kernels have to know of a step, as arrays of u32.

use std::ops::Range;

use wootz_backend::step::{PAGE_TOKENS, Step};
use wootz_spec::Span;

use crate::device::Slice;

/// Rows of a prefill tile that every kernel takes: see [`super::AttentionPrefill::tile_rows`].
pub const TILE_ROWS: usize = 32;

/// Rows of a sequence that [`Route::Fast`] still decodes: their contexts are split over the device, and the cache
/// gives them the same keys. More rows use what they read together.
const DECODED_ROWS: usize = 4;

/// How rows are divided between the two attention kernels, which differ in rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A sequence with few rows is decoded, one with more goes through prefill tiles.
    Fast,
    /// Every row is decoded: what comes out does not depend on how a prompt was cut. Slow for long prompts.
    OneAnswer,
    /// Every row goes through prefill tiles: as independent of how a prompt was cut, fast for prompts, and slow for
    /// single rows of long contexts.
    Tiled,
}

impl Route {
    /// Whether the `rows` rows of a sequence are decoded.
    fn decodes(self, rows: usize) -> bool {
        match self {
            Route::Fast => rows <= DECODED_ROWS,
            Route::OneAnswer => true,
            Route::Tiled => false,
        }
    }
}

/// How a step's rows are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Between the two kernels.
    pub route: Route,
    /// Rows of a prefill tile at most.
    pub tile_rows: usize,
}

/// The arrays of one step, in the host's memory. They are refilled for every step without allocating.
#[derive(Debug, Clone, Default)]
pub struct StepTables {
    /// `[rows]` position of each row in its sequence.
    pub positions: Vec<u32>,
    /// `[rows]` `page · 16 + slot` of each row's own token.
    pub slots: Vec<u32>,
    /// The page tables of all sequences, one after another.
    pub pages: Vec<u32>,
    /// Rows for the decode kernel: row, position, where in `pages` its sequence's page table begins, the first position
    /// of its sequence in this step. Whatever a kernel has to know before it can ask for a page is one load.
    pub decode_rows: Vec<[u32; 4]>,
    /// Runs of rows for the prefill kernel: first row, number of rows (at most [`Division::tile_rows`]), position of the
    /// first row, where in `pages` the sequence's page table begins.
    pub prefill_tiles: Vec<[u32; 4]>,
}

/// The decode rows of a step, for one launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeRows {
    /// How many: at least 1.
    pub count: usize,
    /// The greatest of their positions.
    pub longest: usize,
    /// Tokens that they look at, all together.
    pub tokens: usize,
}

/// The prefill tiles of a step, for one launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefillTiles {
    /// How many: at least 1.
    pub count: usize,
    /// Their rows.
    pub rows: usize,
    /// Tokens that each tile's last row looks at, all together.
    pub tokens: usize,
    /// Tokens that all rows look at.
    pub row_tokens: usize,
}

/// The same arrays in the device's memory, each 16-byte aligned.
#[derive(Debug, Clone, Copy)]
pub struct StepSlices {
    /// [`StepTables::positions`].
    pub positions: Slice,
    /// [`StepTables::slots`].
    pub slots: Slice,
    /// [`StepTables::pages`].
    pub pages: Slice,
    /// [`StepTables::decode_rows`].
    pub decode_rows: Slice,
    /// [`StepTables::prefill_tiles`].
    pub prefill_tiles: Slice,
}

impl StepTables {
    /// Empty tables with room for steps of `rows` rows and page tables of together `pages` entries.
    pub fn with_capacity(rows: usize, pages: usize) -> StepTables {
        StepTables {
            positions: Vec::with_capacity(rows),
            slots: Vec::with_capacity(rows),
            pages: Vec::with_capacity(pages),
            decode_rows: Vec::with_capacity(rows),
            prefill_tiles: Vec::with_capacity(rows),
        }
    }

    /// What the decode kernel has to do, where a row looks at `span`; nothing without decode rows.
    pub fn decode(&self, span: Span) -> Option<DecodeRows> {
        let positions = || self.decode_rows.iter().map(|&[_, position, ..]| position as usize);
        let longest = positions().max()?;
        let tokens = positions().map(|position| looked_at(position, span)).sum();
        Some(DecodeRows { count: self.decode_rows.len(), longest, tokens })
    }

    /// What the prefill kernel has to do, where a row looks at `span`; nothing without tiles.
    pub fn prefill(&self, span: Span) -> Option<PrefillTiles> {
        let last = |tile: &[u32; 4]| (tile[2] + tile[1]) as usize - 1;
        let tokens = self.prefill_tiles.iter().map(|tile| looked_at(last(tile), span)).sum();
        let rows = self.prefill_tiles.iter().map(|tile| tile[1] as usize).sum();
        let positions = |tile: &[u32; 4]| tile[2] as usize..(tile[2] + tile[1]) as usize;
        let row_tokens = self.prefill_tiles.iter().map(|tile| looked_at_by_all(positions(tile), span)).sum();
        let count = self.prefill_tiles.len();
        (count > 0).then_some(PrefillTiles { count, rows, tokens, row_tokens })
    }

    /// Describes `step`, which has been validated.
    pub fn fill(&mut self, step: &Step, Division { route, tile_rows }: Division) {
        self.clear();
        self.positions.extend_from_slice(&step.positions);
        self.pages.extend_from_slice(&step.page_table);
        for sequence in &step.sequences {
            let (rows, pages) = (sequence.rows.clone(), sequence.pages.start as u32);
            for row in rows.clone() {
                let position = step.positions[row] as usize;
                let page = step.page_table[sequence.pages.start + position / PAGE_TOKENS];
                self.slots.push(page * PAGE_TOKENS as u32 + (position % PAGE_TOKENS) as u32);
            }
            if route.decodes(rows.len()) {
                let first = step.positions[rows.start];
                self.decode_rows.extend(rows.map(|row| [row as u32, step.positions[row], pages, first]));
            } else {
                self.prefill_tiles.extend(rows.clone().step_by(tile_rows).map(|row| {
                    let count = tile_rows.min(rows.end - row);
                    [row as u32, count as u32, step.positions[row], pages]
                }));
            }
        }
    }

    fn clear(&mut self) {
        let StepTables { positions, slots, pages, decode_rows, prefill_tiles } = self;
        [positions, slots, pages].into_iter().for_each(Vec::clear);
        [decode_rows, prefill_tiles].into_iter().for_each(Vec::clear);
    }
}

/// Tokens that a row looks at.
fn looked_at(position: usize, span: Span) -> usize {
    match span {
        Span::Full => position + 1,
        Span::Window(tokens) => tokens.min(position + 1),
    }
}

/// Tokens that the rows at `positions` look at, all together: one more for each row, until a window is full.
fn looked_at_by_all(positions: Range<usize>, span: Span) -> usize {
    let full = match span {
        Span::Full => positions.end,
        Span::Window(tokens) => tokens.clamp(positions.start, positions.end),
    };
    let growing = (positions.start + 1 + full) * (full - positions.start) / 2;
    growing + (positions.end - full) * looked_at(positions.end, span)
}

#[cfg(test)]
mod tests {
    use wootz_backend::step::SequenceSlice;

    use super::*;

    /// 40 rows of a prompt from position 8, and one row at position 17.
    fn step() -> Step {
        Step {
            tokens: vec![0; 41],
            positions: (8..48).chain([17]).collect(),
            sequences: vec![
                SequenceSlice { rows: 0..40, pages: 0..3 },
                SequenceSlice { rows: 40..41, pages: 3..5 },
            ],
            page_table: vec![7, 5, 9, 2, 4],
            sample_rows: vec![39, 40],
            copies: Vec::new(),
        }
    }

    fn by(route: Route) -> Division {
        Division { route, tile_rows: TILE_ROWS }
    }

    #[test]
    fn each_row_knows_its_slot() {
        let mut tables = StepTables::with_capacity(41, 5);
        tables.fill(&step(), by(Route::Fast));
        assert_eq!(tables.slots[..9], [120, 121, 122, 123, 124, 125, 126, 127, 80]);
        assert_eq!((tables.slots[39], tables.slots[40]), (9 * 16 + 15, 4 * 16 + 1));
    }

    #[test]
    fn a_prompt_is_cut_into_tiles_and_a_single_row_is_decoded() {
        let mut tables = StepTables::with_capacity(41, 5);
        tables.fill(&step(), by(Route::OneAnswer));
        tables.fill(&step(), by(Route::Fast));
        assert_eq!(tables.prefill_tiles, [[0, 32, 8, 0], [32, 8, 40, 0]]);
        assert_eq!(tables.decode_rows, [[40, 17, 3, 17]]);
        assert_eq!(tables.decode(Span::Full), Some(DecodeRows { count: 1, longest: 17, tokens: 18 }));
        assert_eq!(
            tables.prefill(Span::Window(45)),
            Some(PrefillTiles {
                count: 2,
                rows: 40,
                tokens: 40 + 45,
                row_tokens: (9 + 45) * 37 / 2 + 3 * 45
            })
        );
    }

    #[test]
    fn all_tokens_are_those_of_each_row() {
        for (start, end) in [(0, 1), (0, 40), (8, 48), (30, 33), (100, 132)] {
            for span in [Span::Full, Span::Window(1), Span::Window(9), Span::Window(32), Span::Window(500)] {
                let each: usize = (start..end).map(|position| looked_at(position, span)).sum();
                assert_eq!(looked_at_by_all(start..end, span), each, "{start}..{end} {span:?}");
            }
        }
    }

    #[test]
    fn tiles_are_as_long_as_they_may_be() {
        let mut tables = StepTables::default();
        tables.fill(&step(), Division { route: Route::Fast, tile_rows: 128 });
        assert_eq!(tables.prefill_tiles, [[0, 40, 8, 0]]);
    }

    #[test]
    fn tiles_take_single_rows_too() {
        let mut tables = StepTables::default();
        tables.fill(&step(), by(Route::Tiled));
        assert_eq!(tables.prefill_tiles, [[0, 32, 8, 0], [32, 8, 40, 0], [40, 1, 17, 3]]);
        assert_eq!(tables.decode(Span::Full), None);
    }

    #[test]
    fn one_answer_decodes_every_row() {
        let mut tables = StepTables::default();
        tables.fill(&step(), by(Route::OneAnswer));
        assert!(tables.decode_rows.iter().map(|row| row[0]).eq(0..41));
        assert_eq!((tables.decode_rows[39], tables.decode_rows[40]), ([39, 47, 0, 8], [40, 17, 3, 17]));
        assert_eq!(tables.prefill(Span::Full), None);
        assert_eq!(tables.decode(Span::Full).map(|rows| rows.longest), Some(47));
    }
}
