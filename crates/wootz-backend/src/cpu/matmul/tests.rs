//! Every format on every instruction set of this machine against the file's codec and the scalar twin.

use std::sync::Arc;

use half::{bf16, f16};
use wootz_weights::MappedFile;
use wootz_weights::tensor::{Tensor, TensorType};

use super::*;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ self.0 >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 32
    }

    /// Between −1 and 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Where the f16 numbers of a block are: anything else in it may be any byte.
fn half_places(kind: TensorType) -> &'static [usize] {
    match kind {
        TensorType::Q4_0 | TensorType::Q5_0 | TensorType::Q8_0 | TensorType::IQ4_NL | TensorType::IQ4_XS => {
            &[0]
        }
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::Q6_K => &[208],
        TensorType::Q3_K => &[108],
        TensorType::Q2_K => &[80, 82],
        TensorType::F16 => &[0],
        TensorType::TQ2_0 => &[64],
        _ => &[],
    }
}

/// The bytes of a tensor of random content without NaN or infinity.
fn random_bytes(kind: TensorType, elements: usize, numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..elements / kind.block_elements() {
        let block = bytes.len();
        match kind {
            TensorType::F32 => bytes.extend(numbers.float().to_le_bytes()),
            TensorType::BF16 => bytes.extend(bf16::from_f32(numbers.float()).to_le_bytes()),
            _ => bytes.extend((0..kind.block_bytes()).map(|_| numbers.next() as u8)),
        }
        for place in half_places(kind) {
            bytes[block + place..block + place + 2]
                .copy_from_slice(&f16::from_f32(numbers.float()).to_le_bytes());
        }
        if kind == TensorType::Q8_K {
            bytes[block..block + 4].copy_from_slice(&numbers.float().to_le_bytes());
        }
        if kind == TensorType::MXFP4 {
            bytes[block] = 118 + bytes[block] % 16;
        }
    }
    bytes
}

fn random_tensor(kind: TensorType, rows: usize, columns: usize, numbers: &mut Numbers) -> Tensor {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tensor");
    // An odd start: files promise no alignment.
    let mut content = vec![0_u8; 3];
    content.extend(random_bytes(kind, rows * columns, numbers));
    std::fs::write(&path, &content).unwrap();
    let file: Arc<MappedFile> = MappedFile::open(&path).unwrap();
    Tensor { name: format!("{kind}"), kind, shape: vec![rows, columns], bytes: 3..content.len(), file }
}

/// Kinds with a packed form, and some that are decoded at each use.
const KINDS: [TensorType; 13] = [
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::TQ2_0,
    TensorType::Q8_K,
];

/// Column counts that make short segments and short chunks.
fn column_counts(kind: TensorType) -> &'static [usize] {
    match kind.block_elements() {
        256 => &[256, 768],
        32 => &[32, 544, 896],
        _ => &[1, 77, 300],
    }
}

/// `[rows][matrix rows]`: what `matrix` gives for `values` on its instruction set, in two shares.
fn product(matrix: &PackedMatrix, isa: Isa, values: &[f32], rows: usize, bias: Option<&[f32]>) -> Vec<f32> {
    let input = Input::new(isa, matrix.input_kind(), rows + 1, matrix.columns()).unwrap();
    for (row, values) in values.chunks_exact(matrix.columns()).enumerate() {
        input.write_row(row, values);
    }
    let mut scratch = Scratch::new(rows).unwrap();
    let mut out = vec![f32::NAN; rows * matrix.rows()];
    let shared = SharedOut::new(&mut out, matrix.rows());
    let middle = matrix.panels() / 2;
    matrix.multiply(middle..matrix.panels(), &input, rows, bias, &shared, &mut scratch);
    matrix.multiply(0..middle, &input, rows, bias, &shared, &mut scratch);
    out
}

#[test]
fn rows_are_the_files_values() {
    let mut numbers = Numbers(1);
    for kind in KINDS {
        for &columns in column_counts(kind) {
            let tensor = random_tensor(kind, 37, columns, &mut numbers);
            let expected = tensor.to_f32();
            for isa in Isa::available() {
                let matrix = PackedMatrix::pack(&tensor, isa, 2).unwrap();
                let mut scratch = Scratch::new(1).unwrap();
                for row in [0, 15, 16, 36] {
                    let mut values = vec![f32::NAN; columns];
                    matrix.row(row, &mut values, &mut scratch);
                    for (value, expected) in values.iter().zip(&expected[row * columns..]) {
                        if matches!(kind, TensorType::F16 | TensorType::BF16) {
                            // All are below 1, the largest of a segment may be just that.
                            assert!(
                                (value - expected).abs() <= 1.001 / 8190.0,
                                "{kind}: {value} for {expected}"
                            );
                        } else {
                            assert_eq!(
                                value.to_bits(),
                                expected.to_bits(),
                                "{kind} on {isa}, row {row} of {columns}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_instruction_set_and_batch_gives_the_same_bits() {
    let mut numbers = Numbers(2);
    for kind in KINDS {
        for &columns in column_counts(kind) {
            let tensor = random_tensor(kind, 83, columns, &mut numbers);
            let values: Vec<f32> = (0..13 * columns).map(|_| numbers.float()).collect();
            let bias: Vec<f32> = (0..83).map(|_| numbers.float()).collect();
            let scalar = PackedMatrix::pack(&tensor, Isa::Scalar, 1).unwrap();
            let expected = product(&scalar, Isa::Scalar, &values, 13, Some(&bias));
            check_against_f64(&tensor, &values, &bias, &expected);
            for isa in Isa::available() {
                let matrix = PackedMatrix::pack(&tensor, isa, 3).unwrap();
                for rows in [1, 2, 3, 4, 5, 7, 8, 9, 13] {
                    let found = product(&matrix, isa, &values[..rows * columns], rows, Some(&bias));
                    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        assert_eq!(
                            found.to_bits(),
                            expected.to_bits(),
                            "{kind} on {isa}, {columns} columns, {rows} rows, place {place}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    }
}

/// The result is what the file's values and the input give in f64, but for the input's rounding.
fn check_against_f64(tensor: &Tensor, values: &[f32], bias: &[f32], found: &[f32]) {
    let (weights, columns) = (tensor.to_f32(), tensor.columns());
    for (place, found) in found.iter().enumerate() {
        let (row, out) = (place / tensor.rows(), place % tensor.rows());
        let pairs = weights[out * columns..][..columns].iter().zip(&values[row * columns..][..columns]);
        let (mut exact, mut squares) = (f64::from(bias[out]), 0.0);
        for (weight, value) in pairs {
            let (weight, value) = (f64::from(*weight), f64::from(*value));
            exact += weight * value;
            squares += weight * weight;
        }
        // An input of magnitude up to 1 is rounded by at most 1/254 (int8), 1/32766 (int16, whose weights are rounded
        // by up to 1/8190 of the largest) or not at all; roundings of different columns add up as their squares do.
        let step = match tensor.kind {
            TensorType::F32 | TensorType::TQ2_0 | TensorType::Q8_K => 1e-6,
            TensorType::F16 | TensorType::BF16 => 1.0 / 4095.0,
            _ => 1.0 / 254.0,
        };
        let tolerance = 6.0 * step * squares.sqrt() + 1e-5 * exact.abs() + 1e-6;
        let error = (exact - f64::from(*found)).abs();
        assert!(error <= tolerance, "{}: {found} for {exact}, tolerance {tolerance}", tensor.kind);
    }
}

#[test]
fn quantising_is_the_same_everywhere() {
    let mut numbers = Numbers(3);
    for kind in [InputKind::Int8Block32, InputKind::Int8Block256] {
        for case in 0..40 {
            let values: Vec<f32> = (0..512)
                .map(|i| match case {
                    0 => 0.0,
                    1 => 1e-38,
                    2 => i as f32,
                    _ => numbers.float() * 10_f32.powi((numbers.next() % 20) as i32 - 10),
                })
                .collect();
            let mut expected: input::Int8Cell = bytemuck::Zeroable::zeroed();
            input::quantize(kind, &values, &mut expected);
            for isa in Isa::available() {
                let mut found: input::Int8Cell = bytemuck::Zeroable::zeroed();
                kernels(&isa).quantize(kind, &values, &mut found);
                assert_eq!(
                    bytemuck::bytes_of(&found),
                    bytemuck::bytes_of(&expected),
                    "{kind:?} on {isa}, case {case}"
                );
            }
        }
    }
}

#[test]
fn quantising_to_int16_is_the_same_everywhere() {
    let mut numbers = Numbers(5);
    for columns in [1, 31, 32, 77, 128, 256] {
        for power in [-40, -10, 0, 10] {
            let values: Vec<f32> = (0..columns).map(|_| numbers.float() * 10_f32.powi(power)).collect();
            let mut expected: int16::Int16Cell = bytemuck::Zeroable::zeroed();
            int16::quantize(&values, &mut expected);
            for isa in Isa::available() {
                let mut found: int16::Int16Cell = bytemuck::Zeroable::zeroed();
                kernels(&isa).quantize_int16(&values, &mut found);
                assert_eq!(
                    bytemuck::bytes_of(&found),
                    bytemuck::bytes_of(&expected),
                    "{columns} columns on {isa}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_a_number_reaches_the_result() {
    let mut numbers = Numbers(4);
    for kind in [TensorType::Q8_0, TensorType::Q4_K, TensorType::Q6_K, TensorType::F32, TensorType::F16] {
        let tensor = random_tensor(kind, 16, 256, &mut numbers);
        for isa in Isa::available() {
            let matrix = PackedMatrix::pack(&tensor, isa, 1).unwrap();
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = vec![0.5; 256];
                values[100] = bad;
                let found = product(&matrix, isa, &values, 1, None);
                assert!(found.iter().all(|value| !value.is_finite()), "{kind} on {isa}: {found:?}");
            }
        }
    }
}
