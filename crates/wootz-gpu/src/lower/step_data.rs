//! What kernels read of a step, packed into one piece of memory that is written at once.

use wootz_backend::step::{Step, StepError, StepLimits};

use crate::device::Slice;
use crate::kernels::attention::{Division, StepSlices, StepTables};

/// Bytes that every array begins at a multiple of: kernels read some of them 16 bytes at a time.
const ALIGNMENT: usize = 16;
/// Arrays of a step.
const ARRAYS: usize = 8;

/// A step in the host's memory, as the device will read it. Refilled for every step without allocating.
#[derive(Debug, Clone)]
pub struct StepData {
    /// How rows are divided.
    division: Division,
    /// What attention and the cache are told.
    pub tables: StepTables,
    /// Everything, packed.
    pub bytes: Vec<u8>,
    /// Pages that are copied: from, to.
    pairs: Vec<u32>,
}

/// Where the arrays of one step lie on the device.
#[derive(Debug, Clone, Copy)]
pub struct StepPlaces {
    /// Rows of the step.
    pub rows: usize,
    /// Sampled rows of the step.
    pub samples: usize,
    /// `[rows]` u32 token ids, or rows of the step before.
    pub tokens: Slice,
    /// The tokens that the step before draws. The step's own until somebody says, since then it names none of those.
    pub previous: Slice,
    /// `[samples]` u32 rows.
    pub sample_rows: Slice,
    /// `[copies]` pairs of u32: pages copied from and to.
    pub copies: Slice,
    /// The rest.
    pub step: StepSlices,
}

impl StepData {
    /// Room for steps within `limits`, which will be divided so.
    pub fn new(limits: &StepLimits, division: Division) -> StepData {
        let tables = StepTables::with_capacity(limits.rows, Self::page_limit(limits));
        StepData { division, tables, bytes: Vec::with_capacity(Self::bytes(limits)), pairs: Vec::new() }
    }

    /// Entries of all page tables of a step at most: a whole context for each row.
    fn page_limit(limits: &StepLimits) -> usize {
        limits.rows.saturating_mul(wootz_backend::cache::pages_for(limits.positions))
    }

    /// Bytes that a step takes at most.
    pub fn bytes(limits: &StepLimits) -> usize {
        // Three arrays with a number a row, records and tiles with four numbers a row, as many copies as rows.
        let words = (13 * limits.rows + limits.samples).saturating_add(Self::page_limit(limits));
        words.saturating_mul(4).saturating_add(ARRAYS * ALIGNMENT)
    }

    /// # Errors
    /// When a step has more page-table entries than there is room for.
    pub fn check(limits: &StepLimits, step: &Step) -> Result<(), StepError> {
        let (found, limit) = (step.page_table.len(), Self::page_limit(limits));
        if found > limit {
            Err(StepError::TooMany { what: "page-table entries", found, limit })
        } else {
            Ok(())
        }
    }

    /// Describes a validated step; `buffer` is where its bytes will be written.
    pub fn fill(&mut self, step: &Step, buffer: Slice) -> StepPlaces {
        self.tables.fill(step, self.division);
        self.bytes.clear();
        self.pairs.clear();
        self.pairs.extend(step.copies.iter().flat_map(|copy| [copy.from, copy.to]));
        let StepData { tables, bytes, pairs, .. } = self;
        let mut put = |words: &[u32]| {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            let (offset, content) = (bytes.len(), bytemuck::cast_slice(words));
            bytes.extend_from_slice(content);
            buffer.part(offset, content.len())
        };
        let (tokens, sample_rows) = (put(&step.tokens), put(&step.sample_rows));
        let slices = StepSlices {
            positions: put(&tables.positions),
            slots: put(&tables.slots),
            pages: put(&tables.pages),
            decode_rows: put(tables.decode_rows.as_flattened()),
            prefill_tiles: put(tables.prefill_tiles.as_flattened()),
        };
        let copies = put(pairs);
        let (rows, samples) = (step.rows(), step.sample_rows.len());
        StepPlaces { rows, samples, tokens, previous: tokens, sample_rows, copies, step: slices }
    }
}
