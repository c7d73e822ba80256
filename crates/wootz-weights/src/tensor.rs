//! A tensor as it lies in a file: its type, its shape, its bytes.

use std::ops::Range;
use std::sync::Arc;

use crate::mapped::MappedFile;

/// How the elements of a tensor are stored. Numbers and block layouts are ggml's (gguf-py `constants.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)]
#[repr(u32)]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q8_1 = 9,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    Q8_K = 15,
    IQ2_XXS = 16,
    IQ2_XS = 17,
    IQ3_XXS = 18,
    IQ1_S = 19,
    IQ4_NL = 20,
    IQ3_S = 21,
    IQ2_S = 22,
    IQ4_XS = 23,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    IQ1_M = 29,
    BF16 = 30,
    TQ1_0 = 34,
    TQ2_0 = 35,
    MXFP4 = 39,
    NVFP4 = 40,
}

/// A type's name, and the elements and bytes of one of its blocks.
struct Layout(&'static str, usize, usize);

impl TensorType {
    /// Every type, in the order of their numbers.
    #[rustfmt::skip]
    pub const ALL: [TensorType; 33] = {
        use TensorType::*;
        [
            F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K, IQ2_XXS, IQ2_XS, IQ3_XXS,
            IQ1_S, IQ4_NL, IQ3_S, IQ2_S, IQ4_XS, I8, I16, I32, I64, F64, IQ1_M, BF16, TQ1_0, TQ2_0, MXFP4, NVFP4,
        ]
    };

    /// The type with ggml's number `number`.
    pub fn from_ggml(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Its name as ggml writes it: `Q4_K`.
    pub const fn name(self) -> &'static str {
        self.layout().0
    }

    /// Elements in a block: 1 for types without blocks.
    pub const fn block_elements(self) -> usize {
        self.layout().1
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        self.layout().2
    }

    /// Bytes of a row of `columns` elements; `None` if it is not made of whole blocks (or overflows).
    pub const fn row_bytes(self, columns: usize) -> Option<usize> {
        let Layout(_, elements, bytes) = self.layout();
        if !columns.is_multiple_of(elements) {
            return None;
        }
        (columns / elements).checked_mul(bytes)
    }

    /// The names of all types, for messages.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(" ")
    }

    const fn layout(self) -> Layout {
        match self {
            Self::F32 => Layout("F32", 1, 4),
            Self::F16 => Layout("F16", 1, 2),
            Self::Q4_0 => Layout("Q4_0", 32, 18),
            Self::Q4_1 => Layout("Q4_1", 32, 20),
            Self::Q5_0 => Layout("Q5_0", 32, 22),
            Self::Q5_1 => Layout("Q5_1", 32, 24),
            Self::Q8_0 => Layout("Q8_0", 32, 34),
            // gguf-py says 40, from a time when the two scales were f32; ggml's own struct has two f16.
            Self::Q8_1 => Layout("Q8_1", 32, 36),
            Self::Q2_K => Layout("Q2_K", 256, 84),
            Self::Q3_K => Layout("Q3_K", 256, 110),
            Self::Q4_K => Layout("Q4_K", 256, 144),
            Self::Q5_K => Layout("Q5_K", 256, 176),
            Self::Q6_K => Layout("Q6_K", 256, 210),
            Self::Q8_K => Layout("Q8_K", 256, 292),
            Self::IQ2_XXS => Layout("IQ2_XXS", 256, 66),
            Self::IQ2_XS => Layout("IQ2_XS", 256, 74),
            Self::IQ3_XXS => Layout("IQ3_XXS", 256, 98),
            Self::IQ1_S => Layout("IQ1_S", 256, 50),
            Self::IQ4_NL => Layout("IQ4_NL", 32, 18),
            Self::IQ3_S => Layout("IQ3_S", 256, 110),
            Self::IQ2_S => Layout("IQ2_S", 256, 82),
            Self::IQ4_XS => Layout("IQ4_XS", 256, 136),
            Self::I8 => Layout("I8", 1, 1),
            Self::I16 => Layout("I16", 1, 2),
            Self::I32 => Layout("I32", 1, 4),
            Self::I64 => Layout("I64", 1, 8),
            Self::F64 => Layout("F64", 1, 8),
            Self::IQ1_M => Layout("IQ1_M", 256, 56),
            Self::BF16 => Layout("BF16", 1, 2),
            Self::TQ1_0 => Layout("TQ1_0", 256, 54),
            Self::TQ2_0 => Layout("TQ2_0", 256, 66),
            Self::MXFP4 => Layout("MXFP4", 32, 17),
            Self::NVFP4 => Layout("NVFP4", 64, 36),
        }
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A tensor in a mapped file. Cheap to clone; keeps the mapping alive.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in the checkpoint.
    pub name: String,
    /// How its elements are stored.
    pub kind: TensorType,
    /// Its dimensions, slowest first: a matrix is `[out, in]`.
    pub shape: Vec<usize>,
    /// The file that holds it.
    pub file: Arc<MappedFile>,
    /// Where its bytes are in the file; checked against the file's length and the shape when opened. The
    /// start has no particular alignment (safetensors promises none).
    pub bytes: Range<usize>,
}

impl Tensor {
    /// Its bytes, in rows of whole blocks.
    pub fn data(&self) -> &[u8] {
        &self.file.bytes()[self.bytes.clone()]
    }

    /// Number of rows: the product of all dimensions but the last (1 for a vector).
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Elements in a row: the last dimension.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.rows() * self.columns()
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.kind.row_bytes(self.columns()).expect("rows of whole blocks: checked when opened")
    }

    /// The bytes of row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[u8] {
        let bytes = self.row_bytes();
        &self.data()[row * bytes..][..bytes]
    }

    /// Some rows of it, or some elements of a vector: the same bytes, fewer of them. `None` if it has no such rows, or if
    /// the elements are no whole blocks.
    pub fn part(&self, range: Range<usize>) -> Option<Tensor> {
        let (first, rest) = self.shape.split_first()?;
        if range.start > range.end || range.end > *first {
            return None;
        }
        let inner: usize = rest.iter().product();
        let bytes = |count: usize| self.kind.row_bytes(count * inner);
        let start = self.bytes.start + bytes(range.start)?;
        let bytes = start..start + bytes(range.len())?;
        let shape = std::iter::once(range.len()).chain(rest.iter().copied()).collect();
        Some(Tensor { name: self.name.clone(), kind: self.kind, shape, file: self.file.clone(), bytes })
    }

    /// All elements as f32, row by row: four bytes an element, so for small tensors and references.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.elements()];
        self.kind.dequantize(self.data(), &mut out);
        out
    }

    /// Lets its whole pages leave resident memory; see [`MappedFile::release`].
    pub fn release(&self) {
        self.file.release(self.bytes.clone());
    }
}

/// The bytes that a tensor of this kind and shape takes, or what is wrong with the shape.
pub(crate) fn tensor_bytes(kind: TensorType, shape: &[usize]) -> Result<usize, String> {
    if let Some(place) = shape.iter().position(|dimension| *dimension == 0) {
        return Err(format!("the shape {shape:?}, whose dimension {place} is zero"));
    }
    let columns = shape.last().copied().unwrap_or(1);
    let block = kind.block_elements();
    if !columns.is_multiple_of(block) {
        return Err(format!(
            "rows of {columns} elements, not a multiple of the {block} in a block of {kind}"
        ));
    }
    let elements = shape.iter().try_fold(1_usize, |product, dimension| product.checked_mul(*dimension));
    elements
        .and_then(|elements| (elements / block).checked_mul(kind.block_bytes()))
        .ok_or_else(|| format!("the shape {shape:?}, which is larger than any memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_types_correspond() {
        for kind in TensorType::ALL {
            assert_eq!(TensorType::from_ggml(kind as u32), Some(kind));
            assert_eq!(kind.name(), format!("{kind:?}"));
        }
        for absent in [4, 5, 31, 32, 33, 36, 38, 41, u32::MAX] {
            assert_eq!(TensorType::from_ggml(absent), None);
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(TensorType::Q4_K.row_bytes(512), Some(288));
        assert_eq!(TensorType::Q4_K.row_bytes(300), None);
        assert_eq!(TensorType::F64.row_bytes(usize::MAX), None);
    }

    #[test]
    fn impossible_shapes_are_named() {
        let problem = |kind, shape: &[usize]| tensor_bytes(kind, shape).unwrap_err();
        assert!(problem(TensorType::F32, &[3, 0]).contains("dimension 1 is zero"));
        assert!(problem(TensorType::Q8_0, &[2, 33]).contains("not a multiple of the 32"));
        assert!(problem(TensorType::F32, &[usize::MAX, 2]).contains("larger than any memory"));
        assert!(problem(TensorType::F64, &[usize::MAX / 4]).contains("larger than any memory"));
        assert_eq!(tensor_bytes(TensorType::F16, &[]).unwrap(), 2);
        assert_eq!(tensor_bytes(TensorType::Q8_0, &[2, 3, 64]).unwrap(), 2 * 3 * 68);
    }
}
