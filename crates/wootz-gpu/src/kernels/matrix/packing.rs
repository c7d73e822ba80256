//! How packed matrices lie: `kernels/common/packed.h`.

/// How a record of 16 x 64 weights is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packing {
    /// `n · scale - minimum`, 4 bits, of 32 columns each.
    Nibbles,
    /// `n · scale - minimum`, 5 bits, of 32 columns each.
    FiveBits,
    /// `(n - 32) · scale`, 6 bits, of 16 columns each.
    SixBits,
    /// `(n - 128) · scale`, 8 bits, of 32 columns each.
    Bytes,
    /// f16.
    Halves,
}

impl Packing {
    /// All of them.
    pub const ALL: [Packing; 5] =
        [Packing::Nibbles, Packing::FiveBits, Packing::SixBits, Packing::Bytes, Packing::Halves];
    /// Outputs of a record.
    pub const OUTPUTS: usize = 16;
    /// Columns of a record.
    pub const COLUMNS: usize = 64;

    /// Columns of a matrix at least.
    pub const LEAST_COLUMNS: usize = 2 * Self::COLUMNS;

    /// Records of 16 outputs: an even number, one of which may be of zeros.
    pub const fn records(columns: usize) -> usize {
        columns.div_ceil(2 * Self::COLUMNS) * 2
    }

    /// Bytes of a record.
    pub const fn record_bytes(self) -> usize {
        match self {
            Packing::Nibbles => 640,
            Packing::FiveBits => 768,
            Packing::SixBits => 896,
            Packing::Bytes => 1088,
            Packing::Halves => 2048,
        }
    }
}
