//! Formats that only this crate decodes, against what MLX, torch and bitsandbytes decode: see
//! `scripts/fixtures/formats.py`.

use serde_json::Value;
use wootz_gpu::formats::{Arrays, decode};
use wootz_gpu::kernels::matrix::{Fp8, Fp8Scales, MatrixFormat, ScaleType};

const FIXTURE: &str = include_str!("fixtures/formats.json");

fn bytes(matrix: &Value, key: &str) -> Vec<u8> {
    let text = matrix[key].as_str().unwrap();
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}

fn format(matrix: &Value) -> MatrixFormat {
    let number = |key: &str| matrix[key].as_u64().unwrap();
    match matrix["format"].as_str().unwrap() {
        "affine" => {
            let scale = if matrix["scale"] == "F16" { ScaleType::F16 } else { ScaleType::BF16 };
            MatrixFormat::Affine { bits: number("bits") as u8, group: number("group") as u8, scale }
        }
        "mxfp4" => MatrixFormat::Mxfp4,
        "fp8" => {
            let kind = if matrix["kind"] == "E4M3" { Fp8::E4M3 } else { Fp8::E5M2 };
            MatrixFormat::Fp8(kind, Fp8Scales::Row)
        }
        "nf4" => MatrixFormat::Nf4 { group: number("group") as u16 },
        other => panic!("no format {other}"),
    }
}

/// Bit for bit; but MLX may fuse `scale · q + bias`, which is one rounding less.
#[test]
fn matrices_decode_to_what_their_makers_say() {
    let fixture: Vec<Value> = serde_json::from_str(FIXTURE).unwrap();
    assert_eq!(fixture.len(), 22);
    for matrix in &fixture {
        let format = format(matrix);
        let (data, scales, biases) =
            (bytes(matrix, "data"), bytes(matrix, "scales"), bytes(matrix, "biases"));
        let expected: Vec<f32> = bytes(matrix, "expected")
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let mut found = vec![0.0; expected.len()];
        let arrays = Arrays { data: &data, scales: &scales, biases: &biases };
        decode(format, arrays, matrix["columns"].as_u64().unwrap() as usize, &mut found);
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let tolerance =
            if matches!(format, MatrixFormat::Affine { .. }) { largest * 2.0_f32.powi(-23) } else { 0.0 };
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() <= tolerance,
                "{format}, element {index}: {found} for {expected}"
            );
        }
    }
}
