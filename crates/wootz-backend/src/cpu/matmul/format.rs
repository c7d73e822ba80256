//! The packed int8 formats and how their bytes lie.
//!
//! A **panel** is 16 rows of the matrix. Along the columns it is cut in **segments** of 256 columns (the last may be
//! shorter), each in **blocks** of 32 columns, each in 8 **quads** of 4 columns: the 64 bytes of a quad are
//! 16 rows × 4 columns, what one int8 dot-product instruction of 512 bits takes, so that every 32-bit lane belongs to
//! one output row and no horizontal sum is ever needed.
//!
//! A segment is the codes of its blocks, then the scales of its blocks. The codes of a block are planes:
//!
//! - bytes: quads 0..8, one after another;
//! - nibbles: four vectors; vector `v` holds quad `v` in the low nibbles and quad `v + 4` in the high ones;
//! - one bit more: one vector; bit `j` of each byte belongs to quad `j`;
//! - two bits more: two vectors; bits `2j` and `2j + 1` of each byte of vector `h` belong to quad `4h + j`.
//!
//! A code `u` is never negative. A weight is `scale · (u − zero)` or `scale · u − minimum`.

use wootz_weights::tensor::TensorType;

/// Rows of the matrix in a panel.
pub const PANEL_ROWS: usize = 16;
/// Columns of a full segment.
pub const SEGMENT_COLUMNS: usize = 256;
/// Columns of a block.
pub const BLOCK_COLUMNS: usize = 32;
/// Blocks of a full segment.
pub const SEGMENT_BLOCKS: usize = SEGMENT_COLUMNS / BLOCK_COLUMNS;
/// Quads of a block.
pub const BLOCK_QUADS: usize = 8;

/// A packed format, named after the file's type it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)]
pub enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// How the codes of a block lie (see the module's text).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// Eight vectors of bytes.
    Bytes,
    /// Four vectors of nibbles.
    Nibbles,
    /// Four vectors of nibbles and one of fifth bits.
    NibblesAndBit,
    /// Four vectors of nibbles and two of bits five and six.
    NibblesAndPair,
}

impl Codes {
    /// Bytes of a block of a panel.
    pub const fn bytes(self) -> usize {
        64 * match self {
            Self::Bytes => 8,
            Self::Nibbles => 4,
            Self::NibblesAndBit => 5,
            Self::NibblesAndPair => 6,
        }
    }
}

/// How the scales of a segment lie, each for the panel's 16 rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scales {
    /// A block: f16 scale `[16]`.
    Half,
    /// A block: f16 scale `[16]`, f16 minimum to add `[16]`.
    HalfAndMinimum,
    /// A segment: f16 scale `[16]`, f16 scale of the minima `[16]`, u8 factors `[8 blocks][16]`, u8 factors of the
    /// minima `[4 block pairs][16][2]`.
    SixBitAndMinimum,
    /// A segment: f16 scale `[16]`, i8 factors `[16 half blocks][16]`.
    EightBitHalves,
}

/// What the tile kernel needs to know of a format once it is unpacked to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A scale a block and an activation scale a block: `acc += Σ(u − 128)x · (s · dx)`.
    Centred32,
    /// The same with a minimum: `acc += Σux · (s · dx)`, then `acc += m · (dx · Σx)`.
    Minimum32,
    /// A scale and a minimum a block, an activation scale a segment:
    /// `part = Σ_blocks Σux · s`, `part += (Σ_blocks m · Σx) · −dmin`, `acc += part · dx`.
    Minimum256,
    /// A scale each half block, an activation scale a segment:
    /// `part = Σ_halves Σ(u − 128)x · s`, `acc += part · dx`.
    CentredHalves256,
}

impl Scheme {
    /// Whether a scale covers 16 columns (else 32).
    pub const fn halves(self) -> bool {
        matches!(self, Self::CentredHalves256)
    }

    /// Whether one activation scale covers a segment (else a block).
    pub const fn segment_scale(self) -> bool {
        matches!(self, Self::Minimum256 | Self::CentredHalves256)
    }
}

impl Format {
    /// The packed format for a file's type, if there is one and rows of `columns` elements fit it.
    pub fn of(kind: TensorType, columns: usize) -> Option<Self> {
        let format = match kind {
            TensorType::Q4_0 => Self::Q4_0,
            TensorType::Q4_1 => Self::Q4_1,
            TensorType::Q5_0 => Self::Q5_0,
            TensorType::Q5_1 => Self::Q5_1,
            TensorType::Q8_0 => Self::Q8_0,
            TensorType::Q4_K => Self::Q4_K,
            TensorType::Q5_K => Self::Q5_K,
            TensorType::Q6_K => Self::Q6_K,
            _ => return None,
        };
        columns.is_multiple_of(format.source_columns()).then_some(format)
    }

    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    /// Columns of a block in the file.
    pub const fn source_columns(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of a block in the file.
    pub const fn source_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// How the codes lie.
    pub const fn codes(self) -> Codes {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4_K => Codes::Nibbles,
            Self::Q5_0 | Self::Q5_1 | Self::Q5_K => Codes::NibblesAndBit,
            Self::Q6_K => Codes::NibblesAndPair,
            Self::Q8_0 => Codes::Bytes,
        }
    }

    /// How the scales lie.
    pub const fn scales(self) -> Scales {
        match self {
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => Scales::Half,
            Self::Q4_1 | Self::Q5_1 => Scales::HalfAndMinimum,
            Self::Q4_K | Self::Q5_K => Scales::SixBitAndMinimum,
            Self::Q6_K => Scales::EightBitHalves,
        }
    }

    /// How it is multiplied.
    pub const fn scheme(self) -> Scheme {
        match self.scales() {
            Scales::Half => Scheme::Centred32,
            Scales::HalfAndMinimum => Scheme::Minimum32,
            Scales::SixBitAndMinimum => Scheme::Minimum256,
            Scales::EightBitHalves => Scheme::CentredHalves256,
        }
    }

    /// The code that stands for zero: a power of two; 0 for the formats with minima.
    pub const fn zero(self) -> u8 {
        match self {
            Self::Q4_0 => 8,
            Self::Q5_0 => 16,
            Self::Q6_K => 32,
            Self::Q8_0 => 128,
            Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K => 0,
        }
    }

    /// What unpacking adds to a code so that 128 stands for zero; 0 for the formats with minima.
    pub const fn lift(self) -> u8 {
        if self.zero() == 0 { 0 } else { 128 - self.zero() }
    }

    /// Bytes of the scales of a segment of `blocks` blocks.
    pub const fn scale_bytes(self, blocks: usize) -> usize {
        match self.scales() {
            Scales::Half => 32 * blocks,
            Scales::HalfAndMinimum => 64 * blocks,
            Scales::SixBitAndMinimum => 32 + 32 + 128 + 128,
            Scales::EightBitHalves => 32 + 256,
        }
    }

    /// Bytes of a segment of `blocks` blocks: whole cache lines.
    pub const fn segment_bytes(self, blocks: usize) -> usize {
        (blocks * self.codes().bytes() + self.scale_bytes(blocks)).next_multiple_of(64)
    }

    /// Bytes of a panel of `columns` columns.
    pub const fn panel_bytes(self, columns: usize) -> usize {
        let rest = columns % SEGMENT_COLUMNS / BLOCK_COLUMNS;
        let full = columns / SEGMENT_COLUMNS * self.segment_bytes(SEGMENT_BLOCKS);
        if rest == 0 { full } else { full + self.segment_bytes(rest) }
    }
}

/// One segment of a panel, cut into its parts.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// The codes of all blocks.
    pub codes: &'a [u8],
    /// The scales of all blocks.
    pub scales: &'a [u8],
    /// Number of blocks, 1 to 8.
    pub blocks: usize,
}

/// The segments of `panel`, whose rows have `columns` elements.
pub fn segments(format: Format, panel: &[u8], columns: usize) -> impl Iterator<Item = Segment<'_>> {
    let blocks = columns / BLOCK_COLUMNS;
    let full = format.segment_bytes(SEGMENT_BLOCKS);
    (0..blocks.div_ceil(SEGMENT_BLOCKS)).map(move |index| {
        let blocks = (blocks - index * SEGMENT_BLOCKS).min(SEGMENT_BLOCKS);
        let (codes, scales) = panel[index * full..].split_at(blocks * format.codes().bytes());
        Segment { codes, scales: &scales[..format.scale_bytes(blocks)], blocks }
    })
}
