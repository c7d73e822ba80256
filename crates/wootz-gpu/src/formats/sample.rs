//! Matrices of any format for cases: random bits under sane scales, and what they decode to.

use wootz_weights::TensorType;

use super::{Arrays, decode};
use crate::case::{Case, Check, Tolerance, values};
use crate::device::Slice;
use crate::kernels::matrix::{MatrixFormat, ScaleType, StoredMatrix};

/// A matrix in host memory.
#[derive(Debug, Clone)]
pub struct Sample {
    /// How it is stored.
    pub format: MatrixFormat,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// Blocks or packed integers.
    pub data: Vec<u8>,
    /// Scales that lie apart.
    pub scales: Vec<u8>,
    /// Biases that lie apart.
    pub biases: Vec<u8>,
    /// `[rows, columns]`: what it stands for, by the scalar decoders.
    pub decoded: Vec<f32>,
}

impl Sample {
    /// A matrix whose bits are random, so that every bit of the format matters, with elements between about -1 and 1. The
    /// same for the same `seed`.
    ///
    /// # Panics
    /// If the columns are not whole blocks.
    pub fn new(format: MatrixFormat, rows: usize, columns: usize, seed: u64) -> Sample {
        let row_bytes = format.row_bytes(columns).expect("whole blocks");
        let mut data = match format {
            MatrixFormat::Ggml(kind) => ggml(kind, rows * row_bytes, seed),
            _ => random_bytes(rows * row_bytes, seed),
        };
        if let MatrixFormat::Fp8(..) = format {
            // No infinities and no NaN: their upper bit of the exponent is cleared.
            data.iter_mut().for_each(|byte| *byte &= 0xbf);
        }
        let scales = scales(format, rows, columns, seed);
        let biases = match format {
            MatrixFormat::Affine { bits, scale, .. } => {
                // Such that zero is about the middle of the integers, as a quantiser makes it.
                let middle = f32::from((1_u16 << bits) - 1) / 2.0;
                let count = scales.len() / scale.bytes();
                let biases = (0..count).map(|index| -middle * super::scale_at(scale, &scales, index));
                floats(scale, biases)
            }
            _ => Vec::new(),
        };
        let mut decoded = vec![0.0; rows * columns];
        decode(format, Arrays { data: &data, scales: &scales, biases: &biases }, columns, &mut decoded);
        Sample { format, rows, columns, data, scales, biases, decoded }
    }

    /// Puts the arrays into a case, each `shift` times the alignment behind its buffer's begin (a device asks for
    /// four bytes at least), so that kernels can't rely on more than [`MatrixFormat::alignment`] promises.
    pub fn store(&self, case: &mut Case, shift: usize) -> StoredMatrix {
        let mut array = |name, bytes: &[u8], alignment: usize| {
            let before = shift * usize::max(alignment, 4);
            let mut padded = vec![0xff; before];
            padded.extend_from_slice(bytes);
            case.buffer(name, padded, Check::Unchanged).part(before, bytes.len())
        };
        let apart = |slice: Slice| (slice.length > 0).then_some(slice);
        let matrix = StoredMatrix {
            format: self.format,
            rows: self.rows,
            columns: self.columns,
            data: array("matrix", &self.data, self.format.alignment()),
            scales: if self.scales.is_empty() { None } else { apart(array("scales", &self.scales, 4)) },
            biases: if self.biases.is_empty() { None } else { apart(array("biases", &self.biases, 4)) },
        };
        matrix.checked().expect("a sample has the sizes that its format asks for")
    }

    /// How far a decoded element may be off: `scale · q - minimum` may be fused (one rounding less) or factored otherwise
    /// (two more), each 2⁻²⁴ of numbers no larger than twice the largest element.
    pub fn tolerance(&self) -> Tolerance {
        let largest = self.decoded.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        Tolerance { absolute: largest * 4.0e-7, relative: 0.0 }
    }
}

/// `count` bytes, the same for the same seed.
fn random_bytes(count: usize, seed: u64) -> Vec<u8> {
    values(count, seed ^ 0xb17e).into_iter().map(|value| ((value + 1.0) * 32768.0) as u32 as u8).collect()
}

/// Numbers of a type as bytes.
fn floats(kind: ScaleType, numbers: impl Iterator<Item = f32>) -> Vec<u8> {
    match kind {
        ScaleType::F16 => numbers.flat_map(|number| half::f16::from_f32(number).to_le_bytes()).collect(),
        ScaleType::BF16 => numbers.flat_map(|number| half::bf16::from_f32(number).to_le_bytes()).collect(),
        ScaleType::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
    }
}

/// Positive and negative, none of them zero, between `largest / 2` and `largest`.
fn magnitudes(count: usize, largest: f32, seed: u64) -> impl Iterator<Item = f32> {
    values(count, seed ^ 0x5ca1e)
        .into_iter()
        .map(move |value| (0.75 * value.signum() + 0.25 * value) * largest)
}

fn scales(format: MatrixFormat, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    let bytes = format.scale_bytes(rows, columns);
    match format {
        MatrixFormat::Ggml(_) | MatrixFormat::Packed(_) => Vec::new(),
        MatrixFormat::Affine { bits, scale, .. } => {
            let largest = 2.0 / f32::from((1_u16 << bits) - 1);
            floats(scale, magnitudes(bytes / scale.bytes(), largest, seed))
        }
        // 2⁻³ to 2⁻⁶ (the largest element is 6), and of the first group the smallest that is no subnormal number.
        MatrixFormat::Mxfp4 => {
            let mut scales: Vec<u8> =
                random_bytes(bytes, seed + 1).iter().map(|byte| 121 + byte % 4).collect();
            scales[0] = 1;
            scales
        }
        MatrixFormat::Fp8(..) => floats(ScaleType::F32, magnitudes(bytes / 4, 0.25, seed)),
        MatrixFormat::Nf4 { .. } => floats(ScaleType::F32, magnitudes(bytes / 4, 1.0, seed).map(f32::abs)),
    }
}

/// Random blocks of a ggml type: all bits but those of the scales.
fn ggml(kind: TensorType, bytes: usize, seed: u64) -> Vec<u8> {
    let mut data = random_bytes(bytes, seed);
    match kind {
        TensorType::F32 => return floats(ScaleType::F32, values(bytes / 4, seed).into_iter()),
        TensorType::F16 => return floats(ScaleType::F16, values(bytes / 2, seed).into_iter()),
        TensorType::BF16 => return floats(ScaleType::BF16, values(bytes / 2, seed).into_iter()),
        _ => {}
    }
    let blocks = bytes / kind.block_bytes();
    let (places, largest) = half_scales(kind);
    for (index, place) in places.iter().enumerate() {
        let numbers = floats(ScaleType::F16, magnitudes(blocks, largest, seed + index as u64));
        for (block, number) in data.chunks_exact_mut(kind.block_bytes()).zip(numbers.chunks_exact(2)) {
            block[*place..place + 2].copy_from_slice(number);
        }
    }
    let numbers: Vec<f32> = magnitudes(blocks, largest, seed).collect();
    for ((index, block), number) in data.chunks_exact_mut(kind.block_bytes()).enumerate().zip(numbers) {
        match kind {
            TensorType::Q8_K => block[..4].copy_from_slice(&number.to_le_bytes()),
            // The scale's four nibbles are the top ones of four u16.
            TensorType::IQ1_M => {
                let bits = half::f16::from_f32(number).to_bits();
                for nibble in 0..4 {
                    let place = 49 + 2 * nibble;
                    block[place] = block[place] & 15 | ((bits >> (4 * nibble) & 15) as u8) << 4;
                }
            }
            // 2⁻³ to 2⁻⁶, and in the first block the smallest that is no subnormal number.
            TensorType::MXFP4 => block[0] = if index == 0 { 1 } else { 121 + block[0] % 4 },
            // 2⁻⁷ to 2⁻⁴, subnormal ones among them; 0x7f, which stands for zero; the top bit, which is ignored.
            TensorType::NVFP4 => {
                block[..4].iter_mut().for_each(|byte| *byte &= 0x9f);
                block[index % 4] = [0x7f, 0x81, 0x05, 0x1f][index / 4 % 4];
            }
            _ => {}
        }
    }
    data
}

/// Where a block has f16 scales, and how large they are so that elements are about 1 at most.
fn half_scales(kind: TensorType) -> (&'static [usize], f32) {
    use TensorType as T;
    match kind {
        T::Q4_0 => (&[0], 0.125),
        T::Q4_1 => (&[0, 2], 0.06),
        T::Q5_0 => (&[0], 0.0625),
        T::Q5_1 => (&[0, 2], 0.03),
        T::Q8_0 | T::Q8_1 => (&[0], 0.0078),
        T::Q2_K => (&[80, 82], 0.02),
        T::Q3_K => (&[108], 0.0078),
        T::Q4_K | T::Q5_K => (&[0, 2], 0.0008),
        T::Q6_K => (&[208], 0.0003),
        T::IQ2_XXS | T::IQ2_XS | T::IQ2_S | T::IQ3_XXS => (&[0], 0.005),
        T::IQ3_S => (&[0], 0.002),
        T::IQ1_S => (&[0], 0.06),
        T::IQ4_NL => (&[0], 0.0078),
        T::IQ4_XS => (&[0], 0.00025),
        T::TQ1_0 => (&[52], 1.0),
        T::TQ2_0 => (&[64], 1.0),
        T::Q8_K => (&[], 0.0078),
        T::IQ1_M => (&[], 0.06),
        _ => (&[], 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::readable;

    #[test]
    fn samples_of_every_format_are_finite_and_not_all_zero() {
        for format in readable() {
            let sample = Sample::new(format, 3, 512, 7);
            let largest = sample.decoded.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(sample.decoded.iter().all(|value| value.is_finite()), "{format}");
            assert!((0.01..8.0).contains(&largest), "{format}: {largest}");
        }
    }
}
