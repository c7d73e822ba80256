//! A stored matrix as launches see it: its format, its shape, and where its arrays lie in device memory.

mod packing;

use std::ops::Range;

use wootz_weights::TensorType;

use crate::device::{Argument, Slice};
pub use packing::Packing;

/// How the elements of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatrixFormat {
    /// A ggml type: all of it in `data`, rows of whole blocks.
    Ggml(TensorType),
    /// MLX: `q · scale + bias`, unsigned integers of `bits` bits packed into 32-bit words from the lowest bit on (3,
    /// 5 and 6 bits: a run of bytes, also from the lowest bit on), with a scale and a bias for every `group` columns.
    Affine {
        /// 2, 3, 4, 5, 6 or 8.
        bits: u8,
        /// 32, 64 or 128.
        group: u8,
        /// Of scales and biases.
        scale: ScaleType,
    },
    /// OCP's MXFP4 in two arrays (MLX, Hugging Face): nibbles, the low one first, and a byte of exponent in `scales` for
    /// every 32 elements. In blocks it is [`TensorType::MXFP4`].
    Mxfp4,
    /// Eight-bit floats, with f32 scales in `scales`.
    Fp8(Fp8, Fp8Scales),
    /// bitsandbytes' 4-bit normal floats, the high nibble first, with an f32 maximum for every `group` elements.
    Nf4 {
        /// 64, 128, 256 or 512; it divides the columns.
        group: u16,
    },
    /// Records of 16 outputs and 64 columns, made when a model is loaded: `kernels/common/packed.h`. Outputs are filled up to
    /// whole records.
    Packed(Packing),
}

/// The type of the numbers that scale a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScaleType {
    F16,
    BF16,
    F32,
}

impl ScaleType {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            ScaleType::F16 | ScaleType::BF16 => 2,
            ScaleType::F32 => 4,
        }
    }
}

/// The two layouts of an eight-bit float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fp8 {
    /// 4 bits of exponent, 3 of mantissa; no infinities.
    E4M3,
    /// 5 bits of exponent, 2 of mantissa: the upper half of an f16.
    E5M2,
}

/// What one scale of an FP8 matrix belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fp8Scales {
    /// A row: `[rows]`. A single scale for the whole matrix is spread over the rows at load.
    Row,
    /// A square of 128 rows and 128 columns: `[⌈rows / 128⌉, ⌈columns / 128⌉]`.
    Block128,
}

/// Bytes at which vector loads of 16 bytes are aligned.
const VECTOR: usize = 16;

impl MatrixFormat {
    /// Elements that are stored together: the columns are a multiple of it.
    pub const fn block_elements(self) -> usize {
        match self {
            MatrixFormat::Ggml(kind) => kind.block_elements(),
            MatrixFormat::Affine { group, .. } => group as usize,
            MatrixFormat::Mxfp4 => 32,
            MatrixFormat::Fp8(..) => 16,
            MatrixFormat::Nf4 { group } => group as usize,
            MatrixFormat::Packed(_) => Packing::COLUMNS,
        }
    }

    /// Rows that are stored together: there are as many as fill them.
    pub const fn block_rows(self) -> usize {
        match self {
            MatrixFormat::Packed(_) => Packing::OUTPUTS,
            _ => 1,
        }
    }

    /// Bytes of `data` in a row; `None` where the columns are not whole blocks.
    pub const fn row_bytes(self, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.block_elements()) {
            return None;
        }
        match self {
            MatrixFormat::Ggml(kind) => kind.row_bytes(columns),
            MatrixFormat::Affine { bits, .. } => Some(columns / 8 * bits as usize),
            MatrixFormat::Mxfp4 => Some(columns / 2),
            MatrixFormat::Fp8(..) => Some(columns),
            MatrixFormat::Nf4 { .. } => Some(columns / 2),
            MatrixFormat::Packed(packing) => {
                Some(Packing::records(columns) * packing.record_bytes() / Packing::OUTPUTS)
            }
        }
    }

    /// Bytes of `scales`; 0 where the format has none.
    pub const fn scale_bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            MatrixFormat::Ggml(_) | MatrixFormat::Packed(_) => 0,
            MatrixFormat::Affine { group, scale, .. } => rows * (columns / group as usize) * scale.bytes(),
            MatrixFormat::Mxfp4 => rows * (columns / 32),
            MatrixFormat::Fp8(_, Fp8Scales::Row) => rows * 4,
            MatrixFormat::Fp8(_, Fp8Scales::Block128) => rows.div_ceil(128) * columns.div_ceil(128) * 4,
            MatrixFormat::Nf4 { group } => rows * (columns / group as usize) * 4,
        }
    }

    /// Bytes of `biases`; 0 where the format has none.
    pub const fn bias_bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            MatrixFormat::Affine { .. } => self.scale_bytes(rows, columns),
            _ => 0,
        }
    }

    /// `data` begins at a multiple of this many bytes of its buffer, and then every block does that kernels read with
    /// vector loads. Where a file does not give that, the matrix is copied at load.
    pub const fn alignment(self) -> usize {
        match self {
            MatrixFormat::Ggml(kind) => {
                let natural = 1 << kind.block_bytes().trailing_zeros();
                if natural < VECTOR { natural } else { VECTOR }
            }
            MatrixFormat::Affine { .. } | MatrixFormat::Mxfp4 => 4,
            MatrixFormat::Fp8(..) => 8,
            MatrixFormat::Nf4 { .. } => 8,
            MatrixFormat::Packed(_) => VECTOR,
        }
    }

    /// Whether an element stands by itself, so that rows may have any number of columns.
    pub const fn is_plain(self) -> bool {
        matches!(self, MatrixFormat::Ggml(TensorType::F32 | TensorType::F16 | TensorType::BF16))
    }
}

impl std::fmt::Display for MatrixFormat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MatrixFormat::Ggml(kind) => kind.fmt(formatter),
            MatrixFormat::Affine { bits, group, scale } => {
                write!(formatter, "affine {bits}-bit, {scale:?} scales of {group}")
            }
            MatrixFormat::Mxfp4 => formatter.write_str("MXFP4 in two arrays"),
            MatrixFormat::Fp8(kind, Fp8Scales::Row) => write!(formatter, "FP8 {kind:?}, a scale a row"),
            MatrixFormat::Fp8(kind, Fp8Scales::Block128) => {
                write!(formatter, "FP8 {kind:?}, a scale every 128x128")
            }
            MatrixFormat::Nf4 { group } => write!(formatter, "NF4, scales of {group}"),
            MatrixFormat::Packed(packing) => write!(formatter, "packed {packing:?}"),
        }
    }
}

/// A matrix `[rows, columns]` in device memory: `rows` outputs, `columns` inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredMatrix {
    /// How its elements are stored.
    pub format: MatrixFormat,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Blocks or packed integers, row after row without gaps.
    pub data: Slice,
    /// Scales that lie apart.
    pub scales: Option<Slice>,
    /// Biases that lie apart.
    pub biases: Option<Slice>,
}

impl StoredMatrix {
    /// A matrix of a ggml type.
    ///
    /// # Errors
    /// As [`StoredMatrix::checked`].
    pub fn ggml(
        kind: TensorType,
        rows: usize,
        columns: usize,
        data: Slice,
    ) -> Result<StoredMatrix, MatrixError> {
        StoredMatrix { format: MatrixFormat::Ggml(kind), rows, columns, data, scales: None, biases: None }
            .checked()
    }

    /// The matrix, if its arrays have the sizes and alignment that its format asks for.
    ///
    /// # Errors
    /// What does not fit.
    pub fn checked(self) -> Result<StoredMatrix, MatrixError> {
        let StoredMatrix { format, rows, columns, data, scales, biases } = self;
        let row_bytes = format.row_bytes(columns).filter(|&bytes| bytes > 0 && rows > 0);
        let row_bytes = row_bytes.ok_or(MatrixError::Shape { format, rows, columns })?;
        let arrays = [
            ("data", Some(data), row_bytes * rows.next_multiple_of(format.block_rows()), format.alignment()),
            ("scales", scales, format.scale_bytes(rows, columns), 4),
            ("biases", biases, format.bias_bytes(rows, columns), 4),
        ];
        for (array, slice, expected, alignment) in arrays {
            let found = slice.map_or(0, |slice| slice.length);
            if found != expected {
                return Err(MatrixError::Length { format, rows, columns, array, found, expected });
            }
            let offset = slice.map_or(0, |slice| slice.offset);
            if !offset.is_multiple_of(alignment) {
                return Err(MatrixError::Alignment { format, array, offset, alignment });
            }
        }
        Ok(self)
    }

    /// Bytes of `data` in a row.
    pub fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.columns).expect("rows of whole blocks: checked when made")
    }

    /// Bytes of all its arrays: what a kernel that reads the whole matrix reads.
    pub fn bytes(&self) -> u64 {
        let length = |slice: Option<Slice>| slice.map_or(0, |slice| slice.length as u64);
        self.data.length as u64 + length(self.scales) + length(self.biases)
    }

    /// Rows `rows` of it as a matrix: one of several that lie one after another (experts), or a part of the outputs.
    ///
    /// # Panics
    /// When there are no such rows; when they begin within a square that has one scale; when they begin or end within a
    /// record of a packed matrix.
    pub fn part(&self, rows: Range<usize>) -> StoredMatrix {
        assert!(rows.start < rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let squares = matches!(self.format, MatrixFormat::Fp8(_, Fp8Scales::Block128));
        assert!(!squares || rows.start.is_multiple_of(128), "rows {rows:?} begin within a square of 128");
        let records = self.format.block_rows();
        let whole = |row: usize| row.is_multiple_of(records) || row == self.rows;
        assert!(whole(rows.start) && whole(rows.end), "rows {rows:?} are no whole records of {records}");
        let count = rows.len();
        let apart = |array: Option<Slice>, bytes: fn(MatrixFormat, usize, usize) -> usize| {
            let bytes = |rows| bytes(self.format, rows, self.columns);
            array.map(|slice| slice.part(bytes(rows.start), bytes(count)))
        };
        StoredMatrix {
            rows: count,
            data: self
                .data
                .part(rows.start * self.row_bytes(), count.next_multiple_of(records) * self.row_bytes()),
            scales: apart(self.scales, MatrixFormat::scale_bytes),
            biases: apart(self.biases, MatrixFormat::bias_bytes),
            ..*self
        }
    }

    /// Its arrays as arguments of a kernel, in the order of `struct Matrix` in `kernels/common/format.h`; where the
    /// format has no scales or biases, `data` stands in their place.
    pub fn arguments(&self) -> [Argument; 3] {
        [self.data, self.scales.unwrap_or(self.data), self.biases.unwrap_or(self.data)].map(Argument::read)
    }
}

/// Why arrays are not a matrix of a format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum MatrixError {
    /// Rows are not made of whole blocks, or there is nothing.
    #[error(
        "a matrix {rows}x{columns} can't be stored as {format}: columns are a multiple of {}, and there is a row",
        format.block_elements()
    )]
    Shape { format: MatrixFormat, rows: usize, columns: usize },
    /// An array has another length.
    #[error("{array} of a {rows}x{columns} matrix ({format}) takes {expected} bytes, and {found} are there")]
    Length {
        format: MatrixFormat,
        rows: usize,
        columns: usize,
        array: &'static str,
        found: usize,
        expected: usize,
    },
    /// An array begins at an address that kernels can't read it from.
    #[error(
        "{array} of a matrix ({format}) begins at byte {offset}, and kernels need a multiple of {alignment}"
    )]
    Alignment { format: MatrixFormat, array: &'static str, offset: usize, alignment: usize },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::BufferId;

    fn slice(offset: usize, length: usize) -> Slice {
        Slice { buffer: BufferId(0), offset, length }
    }

    #[test]
    fn alignment_is_that_of_blocks() {
        let alignments = [
            (TensorType::F32, 4),
            (TensorType::F16, 2),
            (TensorType::Q4_0, 2),
            (TensorType::Q4_1, 4),
            (TensorType::Q4_K, 16),
            (TensorType::Q5_K, 16),
            (TensorType::Q6_K, 2),
            (TensorType::MXFP4, 1),
        ];
        for (kind, alignment) in alignments {
            assert_eq!(MatrixFormat::Ggml(kind).alignment(), alignment, "{kind}");
        }
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let matrix =
            |columns, offset, length| StoredMatrix::ggml(TensorType::Q4_K, 2, columns, slice(offset, length));
        assert!(matrix(512, 32, 576).is_ok());
        let message = |result: Result<StoredMatrix, MatrixError>| result.unwrap_err().to_string();
        assert_eq!(
            message(matrix(500, 32, 576)),
            "a matrix 2x500 can't be stored as Q4_K: columns are a multiple of 256, and there is a row"
        );
        assert_eq!(
            message(matrix(512, 32, 575)),
            "data of a 2x512 matrix (Q4_K) takes 576 bytes, and 575 are there"
        );
        assert_eq!(
            message(matrix(512, 36, 576)),
            "data of a matrix (Q4_K) begins at byte 36, and kernels need a multiple of 16"
        );
    }

    #[test]
    fn a_part_has_its_own_scales() {
        let format = MatrixFormat::Affine { bits: 4, group: 64, scale: ScaleType::F16 };
        let matrix = StoredMatrix {
            format,
            rows: 6,
            columns: 128,
            data: slice(0, 6 * 64),
            scales: Some(slice(400, 24)),
            biases: Some(slice(500, 24)),
        };
        let part = matrix.checked().unwrap().part(2..4);
        assert_eq!((part.rows, part.data.offset, part.data.length), (2, 128, 128));
        assert_eq!(part.scales, Some(slice(408, 8)));
        assert_eq!(part.biases, Some(slice(508, 8)));
        assert_eq!(part.bytes(), 144);
        assert!(part.checked().is_ok());
    }

    #[test]
    fn a_part_of_a_packed_matrix_has_whole_records() {
        let format = MatrixFormat::Packed(Packing::SixBits);
        let data = slice(0, 3 * 2 * 896);
        let matrix = StoredMatrix { format, rows: 40, columns: 128, data, scales: None, biases: None };
        let part = matrix.checked().unwrap().part(16..40);
        assert_eq!((part.rows, part.data.offset, part.data.length), (24, 2 * 896, 4 * 896));
        assert!(part.checked().is_ok());
    }
}
