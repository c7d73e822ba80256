//! What the entry points of a kernel are called that exists for every format.

/// `names!("gemv_")` is a `fn(MatrixFormat) -> Option<&'static str>`: `gemv_q4_k` for Q4_K, `None` where
/// [`Family::of`](crate::formats::Family::of) says so.
macro_rules! names {
    ($prefix:literal) => {{
        fn name(format: $crate::kernels::matrix::MatrixFormat) -> Option<&'static str> {
            use wootz_weights::TensorType as T;
            use $crate::kernels::matrix::{Fp8, Fp8Scales, MatrixFormat};
            Some(match format {
                MatrixFormat::Ggml(kind) => match kind {
                    T::F32 => concat!($prefix, "f32"),
                    T::F16 => concat!($prefix, "f16"),
                    T::BF16 => concat!($prefix, "bf16"),
                    T::Q4_0 => concat!($prefix, "q4_0"),
                    T::Q4_1 => concat!($prefix, "q4_1"),
                    T::Q5_0 => concat!($prefix, "q5_0"),
                    T::Q5_1 => concat!($prefix, "q5_1"),
                    T::Q8_0 => concat!($prefix, "q8_0"),
                    T::Q8_1 => concat!($prefix, "q8_1"),
                    T::Q2_K => concat!($prefix, "q2_k"),
                    T::Q3_K => concat!($prefix, "q3_k"),
                    T::Q4_K => concat!($prefix, "q4_k"),
                    T::Q5_K => concat!($prefix, "q5_k"),
                    T::Q6_K => concat!($prefix, "q6_k"),
                    T::Q8_K => concat!($prefix, "q8_k"),
                    T::IQ1_S => concat!($prefix, "iq1_s"),
                    T::IQ1_M => concat!($prefix, "iq1_m"),
                    T::IQ2_XXS => concat!($prefix, "iq2_xxs"),
                    T::IQ2_XS => concat!($prefix, "iq2_xs"),
                    T::IQ2_S => concat!($prefix, "iq2_s"),
                    T::IQ3_XXS => concat!($prefix, "iq3_xxs"),
                    T::IQ3_S => concat!($prefix, "iq3_s"),
                    T::IQ4_NL => concat!($prefix, "iq4_nl"),
                    T::IQ4_XS => concat!($prefix, "iq4_xs"),
                    T::TQ1_0 => concat!($prefix, "tq1_0"),
                    T::TQ2_0 => concat!($prefix, "tq2_0"),
                    T::MXFP4 => concat!($prefix, "mxfp4"),
                    T::NVFP4 => concat!($prefix, "nvfp4"),
                    T::F64 | T::I8 | T::I16 | T::I32 | T::I64 => return None,
                },
                MatrixFormat::Affine { bits: 2, group, scale } => $crate::formats::names!(@affine $prefix "2" group scale),
                MatrixFormat::Affine { bits: 3, group, scale } => $crate::formats::names!(@affine $prefix "3" group scale),
                MatrixFormat::Affine { bits: 4, group, scale } => $crate::formats::names!(@affine $prefix "4" group scale),
                MatrixFormat::Affine { bits: 5, group, scale } => $crate::formats::names!(@affine $prefix "5" group scale),
                MatrixFormat::Affine { bits: 6, group, scale } => $crate::formats::names!(@affine $prefix "6" group scale),
                MatrixFormat::Affine { bits: 8, group, scale } => $crate::formats::names!(@affine $prefix "8" group scale),
                MatrixFormat::Affine { .. } => return None,
                MatrixFormat::Mxfp4 => concat!($prefix, "mxfp4_split"),
                MatrixFormat::Fp8(Fp8::E4M3, Fp8Scales::Row) => concat!($prefix, "fp8_e4m3_row"),
                MatrixFormat::Fp8(Fp8::E4M3, Fp8Scales::Block128) => concat!($prefix, "fp8_e4m3_block128"),
                MatrixFormat::Fp8(Fp8::E5M2, Fp8Scales::Row) => concat!($prefix, "fp8_e5m2_row"),
                MatrixFormat::Fp8(Fp8::E5M2, Fp8Scales::Block128) => concat!($prefix, "fp8_e5m2_block128"),
                MatrixFormat::Nf4 { group: 64 } => concat!($prefix, "nf4_64"),
                MatrixFormat::Nf4 { .. } | MatrixFormat::Packed(_) => return None,
            })
        }
        name
    }};
    (@affine $prefix:literal $bits:literal $group:ident $scale:ident) => {{
        use $crate::kernels::matrix::ScaleType;
        match ($group, $scale) {
            (32, ScaleType::F16) => concat!($prefix, "affine", $bits, "_32_f16"),
            (64, ScaleType::F16) => concat!($prefix, "affine", $bits, "_64_f16"),
            (128, ScaleType::F16) => concat!($prefix, "affine", $bits, "_128_f16"),
            (32, ScaleType::BF16) => concat!($prefix, "affine", $bits, "_32_bf16"),
            (64, ScaleType::BF16) => concat!($prefix, "affine", $bits, "_64_bf16"),
            (128, ScaleType::BF16) => concat!($prefix, "affine", $bits, "_128_bf16"),
            _ => return None,
        }
    }};
}

pub(crate) use names;
