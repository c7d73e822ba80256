//! What kernels know of matrix formats: which they read, what entry points are called, and the codecs of formats
//! that `wootz_weights` does not have.
//!
//! Those of [`wootz_weights::TensorType`] are decoded there; MLX's affine formats, MXFP4 in two arrays, FP8 and NF4 are
//! decoded by [`decode`]. Both are the twins of the readers in `kernels/common/format_*.h`.

mod affine;
mod fp4;
mod fp8;
mod names;
mod nf4;
pub mod sample;

use wootz_weights::TensorType;

pub(crate) use names::names;

use crate::kernels::matrix::{MatrixFormat, ScaleType};

/// Formats whose kernels are in one library, because one model uses them together (or none of the others).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// F32, F16, BF16.
    Plain,
    /// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1.
    Legacy,
    /// Q2_K to Q8_K.
    K,
    /// IQ1_S to IQ4_XS.
    Iq,
    /// TQ1_0, TQ2_0.
    Ternary,
    /// MXFP4, in blocks and in two arrays, and NVFP4.
    Fp4,
    /// MLX's affine formats of so many bits.
    Affine(u8),
    /// Eight-bit floats.
    Fp8,
    /// NF4.
    Nf4,
}

impl Family {
    /// The family of a format; `None` for what no kernel reads: whole numbers, F64, MLX scales of F32, group sizes that no
    /// quantiser makes.
    pub const fn of(format: MatrixFormat) -> Option<Family> {
        use TensorType as T;
        Some(match format {
            MatrixFormat::Ggml(kind) => match kind {
                T::F32 | T::F16 | T::BF16 => Family::Plain,
                T::Q4_0 | T::Q4_1 | T::Q5_0 | T::Q5_1 | T::Q8_0 | T::Q8_1 => Family::Legacy,
                T::Q2_K | T::Q3_K | T::Q4_K | T::Q5_K | T::Q6_K | T::Q8_K => Family::K,
                T::IQ1_S | T::IQ1_M | T::IQ2_XXS | T::IQ2_XS | T::IQ2_S => Family::Iq,
                T::IQ3_XXS | T::IQ3_S | T::IQ4_NL | T::IQ4_XS => Family::Iq,
                T::TQ1_0 | T::TQ2_0 => Family::Ternary,
                T::MXFP4 | T::NVFP4 => Family::Fp4,
                T::F64 | T::I8 | T::I16 | T::I32 | T::I64 => return None,
            },
            MatrixFormat::Affine { bits, group: 32 | 64 | 128, scale: ScaleType::F16 | ScaleType::BF16 } => {
                match bits {
                    2 | 3 | 4 | 5 | 6 | 8 => Family::Affine(bits),
                    _ => return None,
                }
            }
            MatrixFormat::Affine { .. } => return None,
            MatrixFormat::Mxfp4 => Family::Fp4,
            MatrixFormat::Fp8(..) => Family::Fp8,
            MatrixFormat::Nf4 { group: 64 } => Family::Nf4,
            MatrixFormat::Nf4 { .. } => return None,
            // Made on the device, from others, and read by kernels of their own.
            MatrixFormat::Packed(_) => return None,
        })
    }
}

/// Every format that kernels read.
pub fn readable() -> impl Iterator<Item = MatrixFormat> {
    use crate::kernels::matrix::{Fp8, Fp8Scales};
    let ggml = TensorType::ALL.into_iter().map(MatrixFormat::Ggml);
    let affine = [2, 3, 4, 5, 6, 8].into_iter().flat_map(|bits| {
        [32, 64, 128].into_iter().flat_map(move |group| {
            [ScaleType::F16, ScaleType::BF16].map(|scale| MatrixFormat::Affine { bits, group, scale })
        })
    });
    let fp8 = [Fp8::E4M3, Fp8::E5M2]
        .into_iter()
        .flat_map(|kind| [Fp8Scales::Row, Fp8Scales::Block128].map(|scales| MatrixFormat::Fp8(kind, scales)));
    let others = [MatrixFormat::Mxfp4, MatrixFormat::Nf4 { group: 64 }];
    ggml.filter(|&format| Family::of(format).is_some()).chain(affine).chain(fp8).chain(others)
}

/// The arrays of a matrix in host memory, as [`crate::kernels::matrix::StoredMatrix`] has them on a device.
#[derive(Debug, Clone, Copy)]
pub struct Arrays<'a> {
    /// Blocks or packed integers.
    pub data: &'a [u8],
    /// Scales that lie apart; empty where the format has none.
    pub scales: &'a [u8],
    /// Biases that lie apart; empty where the format has none.
    pub biases: &'a [u8],
}

/// Decodes a matrix of `columns` columns to f32, row after row.
///
/// # Panics
/// If the arrays are not those of `out.len() / columns` whole rows of the format, or it is a packed one.
pub fn decode(format: MatrixFormat, arrays: Arrays<'_>, columns: usize, out: &mut [f32]) {
    let rows = out.len() / columns;
    assert_eq!(
        format.row_bytes(columns).map(|bytes| bytes * rows),
        Some(arrays.data.len()),
        "data of {format}"
    );
    assert_eq!(format.scale_bytes(rows, columns), arrays.scales.len(), "scales of {format}");
    assert_eq!(format.bias_bytes(rows, columns), arrays.biases.len(), "biases of {format}");
    match format {
        MatrixFormat::Ggml(kind) => kind.dequantize(arrays.data, out),
        MatrixFormat::Affine { bits, group, scale } => affine::decode(bits, group, scale, arrays, out),
        MatrixFormat::Mxfp4 => fp4::decode_mxfp4(arrays, out),
        MatrixFormat::Fp8(kind, scales) => fp8::decode(kind, scales, arrays, columns, out),
        MatrixFormat::Nf4 { group } => nf4::decode(group, arrays, out),
        MatrixFormat::Packed(_) => unreachable!("packed matrices are made on the device and stay there"),
    }
}

/// The `index`-th number of an array of scales or biases.
fn scale_at(kind: ScaleType, bytes: &[u8], index: usize) -> f32 {
    let at = &bytes[index * kind.bytes()..][..kind.bytes()];
    match kind {
        ScaleType::F16 => half::f16::from_le_bytes([at[0], at[1]]).to_f32(),
        ScaleType::BF16 => half::bf16::from_le_bytes([at[0], at[1]]).to_f32(),
        ScaleType::F32 => f32::from_le_bytes([at[0], at[1], at[2], at[3]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_readable_format_has_a_name_of_its_own() {
        let name = names!("read_");
        let mut found: Vec<&str> =
            readable().map(|format| name(format).unwrap_or_else(|| panic!("{format} has no name"))).collect();
        assert_eq!(found.len(), 28 + 36 + 4 + 2);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 70);
        assert!(found.contains(&"read_affine4_64_bf16") && found.contains(&"read_iq2_xxs"));
        assert_eq!(name(MatrixFormat::Ggml(TensorType::I32)), None);
    }
}
