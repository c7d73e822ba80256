//! Decoding every tensor type to f32, a block at a time: what each format *means*.
//!
//! Results are bit-exact with the `gguf` Python package: products and sums in the same order, nothing fused.

mod codebook;
mod grids;
mod iq;
mod k;
mod plain;
mod simple;
mod ternary;

use crate::tensor::TensorType;

impl TensorType {
    /// Decodes whole blocks: `bytes` holds `out.len()` elements of this type.
    ///
    /// # Panics
    /// If `out` is not whole blocks, or `bytes` not as many.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        let expected = self.row_bytes(out.len());
        assert_eq!(
            expected,
            Some(bytes.len()),
            "{} elements of {self} from {} bytes",
            out.len(),
            bytes.len()
        );
        match self {
            Self::F32 => plain::elements(bytes, out, f32::from_le_bytes),
            Self::F16 => plain::f16(bytes, out),
            Self::BF16 => plain::elements(bytes, out, |bytes| {
                f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
            }),
            Self::F64 => plain::elements(bytes, out, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::I8 => plain::elements(bytes, out, |bytes| f32::from(i8::from_le_bytes(bytes))),
            Self::I16 => plain::elements(bytes, out, |bytes| f32::from(i16::from_le_bytes(bytes))),
            Self::I32 => plain::elements(bytes, out, |bytes| i32::from_le_bytes(bytes) as f32),
            Self::I64 => plain::elements(bytes, out, |bytes| i64::from_le_bytes(bytes) as f32),
            Self::Q4_0 => blocks(bytes, out, simple::q4_0),
            Self::Q4_1 => blocks(bytes, out, simple::q4_1),
            Self::Q5_0 => blocks(bytes, out, simple::q5_0),
            Self::Q5_1 => blocks(bytes, out, simple::q5_1),
            Self::Q8_0 => blocks(bytes, out, simple::q8_0),
            Self::Q8_1 => blocks(bytes, out, simple::q8_1),
            Self::Q2_K => blocks(bytes, out, k::q2_k),
            Self::Q3_K => blocks(bytes, out, k::q3_k),
            Self::Q4_K => blocks(bytes, out, k::q4_k),
            Self::Q5_K => blocks(bytes, out, k::q5_k),
            Self::Q6_K => blocks(bytes, out, k::q6_k),
            Self::Q8_K => blocks(bytes, out, k::q8_k),
            Self::IQ1_S => blocks(bytes, out, iq::iq1_s),
            Self::IQ1_M => blocks(bytes, out, iq::iq1_m),
            Self::IQ2_XXS => blocks(bytes, out, iq::iq2_xxs),
            Self::IQ2_XS => blocks(bytes, out, iq::iq2_xs),
            Self::IQ2_S => blocks(bytes, out, iq::iq2_s),
            Self::IQ3_XXS => blocks(bytes, out, iq::iq3_xxs),
            Self::IQ3_S => blocks(bytes, out, iq::iq3_s),
            Self::IQ4_NL => blocks(bytes, out, codebook::iq4_nl),
            Self::IQ4_XS => blocks(bytes, out, codebook::iq4_xs),
            Self::MXFP4 => blocks(bytes, out, codebook::mxfp4),
            Self::NVFP4 => blocks(bytes, out, codebook::nvfp4),
            Self::TQ1_0 => blocks(bytes, out, ternary::tq1_0),
            Self::TQ2_0 => blocks(bytes, out, ternary::tq2_0),
        }
    }
}

/// Decodes blocks of `BYTES` bytes and `ELEMENTS` elements one after another.
fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (outs, _) = out.as_chunks_mut::<ELEMENTS>();
    for (block, out) in blocks.iter().zip(outs) {
        decode(block, out);
    }
}

/// The f16 at byte `AT` of a block.
fn half_at<const AT: usize, const BYTES: usize>(block: &[u8; BYTES]) -> f32 {
    half::f16::from_le_bytes([block[AT], block[AT + 1]]).to_f32()
}

/// `N` bytes of a block from byte `AT` on.
fn part<const AT: usize, const N: usize, const BYTES: usize>(block: &[u8; BYTES]) -> &[u8; N] {
    const { assert!(AT + N <= BYTES) };
    block[AT..].first_chunk().expect("inside the block")
}
