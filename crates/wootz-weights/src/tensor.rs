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
    /// Where its bytes are in the file; checked against the file's length and the shape when opened.
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
}
