//! Packed products against scalar ones, of decoded weights and inputs as they are.

mod fused;

use wootz_weights::TensorType;

use super::{Multiplier, Pack, PackedGemm, Sharing, Spread, UnpackToHalf};
use crate::case::{Case, Check, Tolerance};
use crate::device::Slice;
use crate::formats::sample::Sample;
use crate::kernels::gemm::cases::{Factors, Product, Stored};
use crate::kernels::gemm::{HalfInput, HalfRows};
use crate::kernels::joint::JointRows;
use crate::kernels::matrix::{MatrixFormat, Packing, StoredMatrix};

const F16: MatrixFormat = MatrixFormat::Ggml(TensorType::F16);
const Q4_K: MatrixFormat = MatrixFormat::Ggml(TensorType::Q4_K);
/// Fewer threadgroups than there are groups of outputs.
const FEW: Sharing = few(4, 2);
const fn few(simdgroups: u32, threadgroups: u32) -> Sharing {
    Sharing::Few(Spread { simdgroups, threadgroups })
}

/// All rows together, the columns in so many parts.
fn all_in(parts: usize) -> [Sharing; 2] {
    [Multiplier::Simdgroup, Multiplier::Warpgroup].map(|by| Sharing::All { by, parts })
}

const ALL: [TensorType; 10] = [
    TensorType::Q4_K,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_K,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q6_K,
    TensorType::Q8_0,
    TensorType::F16,
    TensorType::BF16,
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in ALL.map(MatrixFormat::Ggml) {
        // Outputs that end within a record.
        let columns = 192_usize.next_multiple_of(format.block_elements());
        cases.push(unpack_case(format, 37, columns));
        cases.push(case(format, 5, 37, columns, FEW));
    }
    for format in [TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::Q8_0, TensorType::F16]
        .map(MatrixFormat::Ggml)
    {
        let columns = 320_usize.next_multiple_of(format.block_elements());
        cases.extend([1, 11].map(|rows| case(format, rows, 37, columns, FEW)));
        for all in all_in(1) {
            cases.extend([13, 27, 62].map(|rows| case(format, rows, 37, columns, all)));
        }
    }
    // One row, one output, two records; full tiles; several threadgroups; more records than are taken together; eight rows and
    // eight again.
    cases.push(case(F16, 1, 1, 128, few(4, 1)));
    for rows in [1, 8] {
        cases.push(case(Q4_K, rows, 32, 2560, few(8, 2)));
    }
    for rows in [1, 12] {
        cases.push(case(Q4_K, rows, 80, 1280, few(16, 2)));
    }
    cases.push(case(F16, 19, 40, 128, FEW));
    for all in all_in(1) {
        cases.push(case(Q4_K, 16, 272, 256, all));
        cases.push(case(Q4_K, 64, 130, 768, all));
    }
    // Parts of different sizes, with and without a bias, and parts that are too many.
    for (rows, parts) in [(17, 2), (18, 3), (9, 9)] {
        cases.extend(all_in(parts).map(|all| case(F16, rows, 20, 1088, all)));
    }
    cases.extend([1.0e-30, 1.0e-5, 1.0e6, 1.0e30].map(range_case));
    // Two and three matrices one after another, with and without a bias: whole, staged, and in parts of the columns.
    for rows in [1, 8, 19] {
        cases.push(joint_case(F16, rows, &[32, 16, 16], 128, FEW));
        cases.push(joint_case(Q4_K, rows, &[16, 37], 256, FEW));
    }
    for rows in [3, 16, 30, 64] {
        cases.extend(all_in(1).map(|all| joint_case(Q4_K, rows, &[144, 16, 20], 256, all)));
        cases.extend(all_in(2).map(|all| joint_case(F16, rows, &[48, 96], 640, all)));
    }
    cases.extend(all_in(3).map(|all| joint_case(F16, 9, &[16, 32, 16], 768, all)));
    cases.extend(fused::cases());
    cases
}

fn packed(case: &mut Case, matrix: StoredMatrix) -> StoredMatrix {
    joined(case, matrix, &[matrix.rows])
}

/// Matrices that are packed one after another: so many rows each of a matrix that has them all. The answer is all of them.
fn joined(case: &mut Case, matrix: StoredMatrix, parts: &[usize]) -> StoredMatrix {
    let StoredMatrix { columns, rows, format, .. } = matrix;
    let packing = Pack::packing(format, columns).expect("a format that can be packed");
    let data = case.scratch("packed", Pack::bytes(packing, rows, columns));
    let whole =
        StoredMatrix { format: MatrixFormat::Packed(packing), data, scales: None, biases: None, ..matrix };
    let whole = whole.checked().expect("memory of the size that was asked for");
    let mut begin = 0;
    for count in parts {
        let rows = begin..begin + count;
        begin = rows.end;
        let (dispatch, packed) =
            Pack { matrix: matrix.part(rows.clone()), out: whole.part(rows.clone()).data }.dispatch();
        assert_eq!(packed, whole.part(rows));
        case.dispatch([dispatch]);
    }
    whole
}

/// The launches of a product, what it is made ready with among them. The matrix is `parts` rows one after another, each with
/// a result of its own.
fn append(case: &mut Case, product: &Product, parts: &[usize], sharing: Sharing, rows: usize) {
    let (outputs, columns) = (product.sample.rows, product.sample.columns);
    let Stored { matrix, bias, input } = product.store(case);
    let (expected, tolerance) = (product.expected(), product.tolerance(Factors::F16));
    let mut begin = 0;
    let mut results = Vec::new();
    for &count in parts {
        let of_row = |row: &[f32]| row[begin..begin + count].to_vec();
        let expected = expected.chunks_exact(outputs).flat_map(of_row).collect();
        results.push((case.output_f32("out", expected, tolerance), count));
        begin += count;
    }
    let out = JointRows::of(&results);
    let matrix = joined(case, matrix, parts);
    let halves = HalfInput::within(case.scratch("halves", HalfInput::bytes(rows, columns)), rows, columns);
    let scratch: Slice = case.scratch("parts", PackedGemm::scratch_bytes(sharing, rows, outputs).max(1));
    case.dispatch([HalfRows { rows, columns, input, out: halves }.dispatch()]);
    case.dispatch(PackedGemm { sharing, rows, matrix, bias, input: halves, scratch, out }.dispatches());
}

fn case(format: MatrixFormat, rows: usize, outputs: usize, columns: usize, sharing: Sharing) -> Case {
    let mut case = Case::new(format!("packed {format} {rows}x{outputs}x{columns}, {sharing:?}"));
    append(&mut case, &Product::new(format, rows, outputs, columns), &[outputs], sharing, rows);
    case
}

/// Matrices with so many outputs one after another. Every second number of rows has a bias.
fn joint_case(format: MatrixFormat, rows: usize, parts: &[usize], columns: usize, sharing: Sharing) -> Case {
    let mut case = Case::new(format!("packed {format} {rows}x{parts:?}x{columns}, {sharing:?}"));
    let outputs = parts.iter().sum();
    append(&mut case, &Product::new(format, rows, outputs, columns), parts, sharing, rows);
    case
}

/// Inputs that f16 has no numbers for, some 2¹⁶ times as large as others of their row.
fn range_case(scale: f32) -> Case {
    let rows = 5;
    let mut case = Case::new(format!("packed, inputs of {scale:e}"));
    append(&mut case, &Product::growing(rows, 20, 192, scale), &[20], FEW, rows);
    case
}

/// There and back: each weight within the rounding of its scale, of `16 · scale + minimum` and of itself to f16, 2⁻¹¹ each of
/// numbers no larger than twice the largest weight.
fn unpack_case(format: MatrixFormat, rows: usize, columns: usize) -> Case {
    let mut case = Case::new(format!("{format} packed and unpacked"));
    let sample = Sample::new(format, rows, columns, 17);
    let stored = sample.store(&mut case, 1);
    let largest = sample.decoded.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let tolerance = match Pack::packing(format, columns) {
        // (n - 32) · scale: rounded are the scale, to 2⁻¹¹ and then to 2⁻⁹ of it, and the product to 2⁻¹¹.
        Some(Packing::SixBits) => Tolerance { absolute: 1.0e-7, relative: 3.0e-3 },
        _ => Tolerance { absolute: largest * 2.0e-3, relative: 0.0 },
    };
    let poison = vec![0xff; 2 * sample.decoded.len()];
    let out = case.buffer("out", poison, Check::F16(sample.decoded.clone(), tolerance));
    let matrix = packed(&mut case, stored);
    case.dispatch([UnpackToHalf { matrix, out }.dispatch()]);
    case
}
