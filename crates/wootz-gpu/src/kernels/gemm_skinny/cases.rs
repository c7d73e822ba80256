//! Skinny products against scalar ones, of decoded weights and inputs as they are.

use wootz_weights::TensorType;

use super::{SkinnyGemm, Slice};
use crate::case::{Case, Tolerance};
use crate::kernels::gemm::cases::{Factors, Product, Stored};
use crate::kernels::gemm::{HalfInput, HalfRows, Order};
use crate::kernels::matrix::MatrixFormat;

const F16: MatrixFormat = MatrixFormat::Ggml(TensorType::F16);
const Q4_K: MatrixFormat = MatrixFormat::Ggml(TensorType::Q4_K);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in SkinnyGemm::FORMATS {
        let block = format.block_elements();
        // Every kernel; rows and outputs that end within its tile, and columns within what simdgroups take together.
        for rows in [5, 13, 27, 62] {
            cases.push(case(format, rows, 37, 320_usize.next_multiple_of(block), 1));
        }
    }
    // One row, one output, one block of columns; full tiles; several threadgroups; more strips than are taken together.
    cases.push(case(F16, 1, 1, 32, 1));
    cases.push(case(Q4_K, 8, 32, 2560, 1));
    cases.push(case(Q4_K, 16, 256, 256, 1));
    cases.push(case(Q4_K, 64, 130, 768, 1));
    // Parts of different sizes, with and without a bias, and parts that are too many.
    cases.extend([(17, 2), (18, 3), (9, 9)].map(|(rows, parts)| case(F16, rows, 20, 1120, parts)));
    cases.extend([1.0e-30, 1.0e-5, 1.0e6, 1.0e30].map(range_case));
    cases
}

/// The launches of a product, its input's conversion among them.
fn append(case: &mut Case, product: &Product, parts: usize, rows: usize, tolerance: Tolerance) {
    let (outputs, columns) = (product.sample.rows, product.sample.columns);
    let Stored { matrix, bias, input } =
        product.store_shifted(case, if product.sample.format.is_plain() { 4 } else { 1 });
    let out = case.output_f32("out", product.expected(), tolerance);
    let halves = HalfInput::within(case.scratch("halves", HalfInput::bytes(rows, columns)), rows, columns);
    let scratch: Slice = case.scratch("parts", SkinnyGemm::scratch_bytes(parts, rows, outputs).max(1));
    case.dispatch([HalfRows { order: Order::Interleaved, rows, columns, input, out: halves }.dispatch()]);
    case.dispatch(SkinnyGemm { parts, rows, matrix, bias, input: halves, scratch, out }.dispatches());
}

fn case(format: MatrixFormat, rows: usize, outputs: usize, columns: usize, parts: usize) -> Case {
    let mut case = Case::new(format!("skinny {format} {rows}x{outputs}x{columns} in {parts}"));
    let product = Product::new(format, rows, outputs, columns);
    append(&mut case, &product, parts, rows, product.tolerance(Factors::F16));
    case
}

/// Inputs that f16 has no numbers for, some 2¹⁶ times as large as others of their row.
fn range_case(scale: f32) -> Case {
    let rows = 5;
    let mut case = Case::new(format!("skinny, inputs of {scale:e}"));
    let product = Product::growing(rows, 20, 160, scale);
    append(&mut case, &product, 1, rows, product.tolerance(Factors::F16));
    case
}
