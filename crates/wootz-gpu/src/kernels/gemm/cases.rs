//! Matrix products against scalar ones, of decoded weights and inputs as they are.

use half::f16;
use wootz_backend::cpu::reference;
use wootz_weights::TensorType;

use super::{
    Columns, FinishRows, Gemm, GemmTile, GroupedGemm, HalfInput, HalfRows, PlainGemm, PlainStage, SystemGemm,
    TensorGemm, has_all_tiles, source_of,
};
use crate::case::{Case, Check, Tolerance, values};
use crate::device::Slice;
use crate::formats::readable;
use crate::formats::sample::Sample;
use crate::kernels::matrix::{MatrixFormat, StoredMatrix};
use crate::twins;

const F16: MatrixFormat = MatrixFormat::Ggml(TensorType::F16);
const Q8_0: MatrixFormat = MatrixFormat::Ggml(TensorType::Q8_0);
/// Outputs that end within a tile.
const OUTPUTS: usize = 70;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in readable().filter(|&format| source_of(format).is_some()) {
        for tile in GemmTile::ALL.into_iter().filter(|tile| tile.entry(format).is_some()) {
            cases.push(tile_case(tile, format, tile.rows() - 3, OUTPUTS));
        }
        cases.push(grouped_case(format, &[3, 0, 37, 1, 0], 18));
        if has_all_tiles(format) {
            cases.push(grouped_case(format, &[3, 0, 9, 1, 0], 18));
        }
    }
    // More than a tile in both directions, one row, one output, more than 32 experts.
    cases.push(tile_case(GemmTile::Rows64, F16, 65, 66));
    cases.push(tile_case(GemmTile::Rows8, F16, 1, 1));
    let sizes: Vec<usize> = (0..45).map(|expert| expert % 7 / 5).collect();
    cases.push(grouped_case(Q8_0, &sizes, 2));
    cases.extend([2, 3].map(|parts| parts_case(Q8_0, parts)));
    cases.extend([1.0e-30, 1.0e-5, 1.0e6, 1.0e30].map(range_case));
    cases.extend(GemmTile::ALL.map(exact_case));
    // Tiles that end within, one that is full, several in both directions, a single element.
    for format in TensorGemm::FORMATS {
        cases.push(tensor_case(format, 37, 45, columns_of(format)));
    }
    for (rows, outputs, columns) in [(64, 32, 64), (65, 66, 48), (1, 1, 16)] {
        cases.push(tensor_case(F16, rows, outputs, columns));
    }
    cases.extend([1.0e-30, 1.0e6].map(tensor_range_case));
    for format in [TensorType::F32, TensorType::F16, TensorType::BF16].map(MatrixFormat::Ggml) {
        cases.push(plain_case(PlainStage::Naive, format, 3, 130, 43));
        cases.push(plain_case(PlainStage::Tiled, format, 35, 37, 43));
    }
    cases.push(plain_case(PlainStage::Tiled, F16, 1, 1, 1));
    cases.extend([(5, 1.0), (4, 1.0), (3, 1.0e6)].map(|(rows, scale)| system_case(rows, scale)));
    cases.extend([1, 3, 96, 2051].map(half_rows_case));
    cases.extend([false, true].map(finish_rows_case));
    cases
}

/// What a product is checked with.
pub struct Product {
    pub sample: Sample,
    input: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Product {
    /// Every second format's product has a bias, so that both are tried with every tile.
    pub fn new(format: MatrixFormat, rows: usize, outputs: usize, columns: usize) -> Product {
        let bias = (rows.is_multiple_of(2)).then(|| values(outputs, 13));
        Product { sample: Sample::new(format, outputs, columns, 11), input: values(rows * columns, 12), bias }
    }

    /// One whose rows grow from `scale` to 2¹⁶ times as much.
    pub fn growing(rows: usize, outputs: usize, columns: usize, scale: f32) -> Product {
        let mut product = Product::new(F16, rows, outputs, columns);
        for (index, value) in product.input.iter_mut().enumerate() {
            *value *= scale * ((index % columns) as f32 / 10.0).exp2();
        }
        product
    }

    pub fn expected(&self) -> Vec<f32> {
        let (columns, outputs) = (self.sample.columns, self.sample.rows);
        let mut out = vec![0.0; self.input.len() / columns * outputs];
        reference::linear(&self.input, columns, &self.sample.decoded, self.bias.as_deref(), &mut out);
        out
    }

    /// Errors of products are independent, so those of a sum grow with the root of the sum of squares, `norm`. Rounding
    /// to f16 changes a factor by 2⁻¹¹ of it at most, √⅓ of that typically, so a product by 2⁻¹¹ · 0.82: sums are off by
    /// that times `norm` typically, and 2⁻⁸ · `norm` is ten times as much. With factors in f32 what is left is the order
    /// of the sum: 2⁻²⁴ of it for each of up to 256 additions, as a random walk 2⁻²⁰; ten times that is below 2⁻¹⁶.
    pub fn tolerance(&self, factors: Factors) -> Tolerance {
        let columns = self.sample.columns;
        let squares = |values: &[f32]| -> Vec<f64> {
            values.iter().map(|&value| f64::from(value) * f64::from(value)).collect()
        };
        let (inputs, weights) = (squares(&self.input), squares(&self.sample.decoded));
        let norm = inputs
            .chunks_exact(columns)
            .flat_map(|x| {
                weights.chunks_exact(columns).map(move |w| x.iter().zip(w).map(|(x, w)| x * w).sum())
            })
            .fold(0.0_f64, f64::max)
            .sqrt();
        let share = match factors {
            Factors::F16 => (-8.0_f64).exp2(),
            Factors::F32 => (-16.0_f64).exp2(),
        };
        Tolerance { absolute: (share * norm) as f32, relative: 2.0e-6 }
    }

    pub fn store(&self, case: &mut Case) -> Stored {
        Stored {
            matrix: self.sample.store(case, 1),
            bias: self.bias.as_ref().map(|bias| case.input("bias", bias)),
            input: case.input("input", &self.input),
        }
    }
}

/// What is multiplied.
#[derive(Clone, Copy)]
pub enum Factors {
    F16,
    F32,
}

impl Factors {
    fn of(format: MatrixFormat) -> Factors {
        if format == MatrixFormat::Ggml(TensorType::F32) { Factors::F32 } else { Factors::F16 }
    }
}

pub struct Stored {
    pub matrix: StoredMatrix,
    pub bias: Option<Slice>,
    pub input: Slice,
}

/// The fewest columns that are whole blocks, and for small blocks end within a step.
fn columns_of(format: MatrixFormat) -> usize {
    let block = format.block_elements();
    48_usize.next_multiple_of(block).max(block)
}

fn tile_case(tile: GemmTile, format: MatrixFormat, rows: usize, outputs: usize) -> Case {
    let columns = columns_of(format);
    let mut case = Case::new(format!("{tile:?} {format} {rows}x{outputs}x{columns}"));
    let product = Product::new(format, rows, outputs, columns);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::of(format)));
    case.dispatch(Gemm { tile, sum: Columns::Whole, rows, matrix, bias, input, out }.dispatches());
    case
}

fn parts_case(format: MatrixFormat, parts: usize) -> Case {
    let (rows, outputs, columns) = (10, 20, 160);
    let mut case = Case::new(format!("{format} in {parts} parts"));
    let product = Product::new(format, rows, outputs, columns);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::F16));
    let scratch = case.scratch("parts", Gemm::scratch_bytes(parts, rows, outputs));
    let sum = Columns::Parts { parts, scratch };
    case.dispatch(Gemm { tile: GemmTile::Rows16, sum, rows, matrix, bias, input, out }.dispatches());
    case
}

fn tensor_case(format: MatrixFormat, rows: usize, outputs: usize, columns: usize) -> Case {
    let mut case = Case::new(format!("tensors {format} {rows}x{outputs}x{columns}"));
    let product = Product::new(format, rows, outputs, columns);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::F16));
    case.dispatch([TensorGemm { rows, matrix, bias, input, out }.dispatch()]);
    case
}

/// Inputs that f16 has no numbers for; in each row the first are much smaller than the last, so that a row's power of two
/// has to change on the way.
fn range_case(scale: f32) -> Case {
    let (rows, outputs, columns) = (5, 20, 160);
    let mut case = Case::new(format!("inputs of {scale:e}"));
    let product = Product::growing(rows, outputs, columns, scale);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::F16));
    let sum = Columns::Whole;
    case.dispatch(Gemm { tile: GemmTile::Rows8, sum, rows, matrix, bias, input, out }.dispatches());
    case
}

fn tensor_range_case(scale: f32) -> Case {
    let (rows, outputs, columns) = (66, 20, 160);
    let mut case = Case::new(format!("tensors, inputs of {scale:e}"));
    let product = Product::growing(rows, outputs, columns, scale);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::F16));
    case.dispatch([TensorGemm { rows, matrix, bias, input, out }.dispatch()]);
    case
}

/// Small integers: nothing is rounded, so every bit must be right.
fn exact_case(tile: GemmTile) -> Case {
    let (rows, outputs, columns) = (9, 65, 80);
    let mut case = Case::new(format!("{tile:?} exactly"));
    let integers = |count, seed| values(count, seed).into_iter().map(|value| (value * 8.0).round());
    let mut product = Product::new(F16, rows, outputs, columns);
    product.input = integers(rows * columns, 21).collect();
    product.sample.decoded = integers(outputs * columns, 22).collect();
    product.sample.data =
        product.sample.decoded.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), Tolerance::EXACT);
    case.dispatch(Gemm { tile, sum: Columns::Whole, rows, matrix, bias, input, out }.dispatches());
    case
}

fn grouped_case(format: MatrixFormat, sizes: &[usize], outputs: usize) -> Case {
    let (rows, experts, columns) = (sizes.iter().sum::<usize>(), sizes.len(), columns_of(format));
    let mut case = Case::new(format!("{format}, {rows} rows of {experts} experts"));
    let mut product = Product::new(format, rows, experts * outputs, columns);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let mut offsets = vec![0_u32];
    let mut expected = Vec::new();
    let (decoded, all_biases) = (std::mem::take(&mut product.sample.decoded), product.bias.take());
    for (expert, &size) in sizes.iter().enumerate() {
        let from = *offsets.last().expect("not empty") as usize;
        let mut out = vec![0.0; size * outputs];
        let own = |width| expert * outputs * width..(expert + 1) * outputs * width;
        let bias = all_biases.as_ref().map(|biases| &biases[own(1)]);
        let input = &product.input[from * columns..(from + size) * columns];
        reference::linear(input, columns, &decoded[own(columns)], bias, &mut out);
        expected.extend(out);
        offsets.push((from + size) as u32);
    }
    product.sample.decoded = decoded;
    let expert_offsets = case.input("offsets", &offsets);
    let out = case.output_f32("out", expected, product.tolerance(Factors::of(format)));
    let launch = GroupedGemm { rows, experts, matrices: matrix, bias, expert_offsets, input, out };
    case.dispatch([launch.dispatch()]);
    case
}

fn plain_case(stage: PlainStage, format: MatrixFormat, rows: usize, outputs: usize, columns: usize) -> Case {
    let mut case = Case::new(format!("{stage:?} {format} {rows}x{outputs}x{columns}"));
    let product = Product::new(format, rows, outputs, columns);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::F32));
    case.dispatch([PlainGemm { stage, rows, matrix, bias, input, out }.dispatch()]);
    case
}

/// With an even number of rows there is a bias.
fn system_case(rows: usize, scale: f32) -> Case {
    let (outputs, columns) = (9, 96);
    let mut case = Case::new(format!("the system's product of {rows} rows about {scale}"));
    let mut product = Product::new(Q8_0, rows, outputs, columns);
    product.input.iter_mut().for_each(|value| *value *= scale);
    let Stored { matrix, bias, input } = product.store(&mut case);
    let out = case.output_f32("out", product.expected(), product.tolerance(Factors::F16));
    let halves = HalfInput::within(case.scratch("halves", HalfInput::bytes(rows, columns)), rows, columns);
    let scratch = case.scratch("f16", SystemGemm::scratch_bytes(outputs, columns));
    case.dispatch([HalfRows { rows, columns, input, out: halves }.dispatch()]);
    case.dispatch(SystemGemm { rows, matrix, bias, input: halves, scratch, out }.dispatches());
    case
}

/// Rows that f16 holds, and rows that it holds only after they were scaled.
fn half_rows_case(columns: usize) -> Case {
    let mut case = Case::new(format!("half rows of {columns}"));
    let scales: [f32; 8] = [1.0, 0.0625, 32768.0, 40000.0, 1.0e9, 3.0e38, 0.03, 1.0e-36];
    let mut rows: Vec<f32> = values(scales.len() * columns, 5);
    for (row, scale) in rows.chunks_exact_mut(columns).zip(scales) {
        // The first is the greatest.
        row.iter_mut().for_each(|value| *value = value.clamp(-0.99, 0.99) * scale);
        row[0] = scale;
    }
    let (scaled, inverses) = twins::half_rows::scaled(&rows, columns);
    let halves: Vec<u8> = scaled.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
    let count = scales.len();
    let input = case.input("input", &rows);
    let halves = case.buffer("out", vec![0xff; halves.len()], Check::Bytes(halves));
    let inverse = case.output_f32("inverse", inverses, Tolerance { absolute: 0.0, relative: 0.0 });
    let out = HalfInput { halves, inverse };
    case.dispatch([HalfRows { rows: count, columns, input, out }.dispatch()]);
    case
}

fn finish_rows_case(with_bias: bool) -> Case {
    let mut case = Case::new(if with_bias { "finish rows with a bias" } else { "finish rows" });
    let (inverses, outputs) = ([1.0_f32, 4.0, 0.5], 300);
    let before = values(inverses.len() * outputs, 6);
    let bias = values(outputs, 7);
    let finished = before.iter().enumerate().map(|(index, value)| {
        let sum = value * inverses[index / outputs];
        if with_bias { sum + bias[index % outputs] } else { sum }
    });
    let expected: Vec<u8> = finished.flat_map(f32::to_le_bytes).collect();
    let bytes = before.iter().flat_map(|value| value.to_le_bytes()).collect();
    let out = case.buffer("out", bytes, Check::Bytes(expected));
    let inverse = case.input("inverse", &inverses);
    let bias = case.input("bias", &bias);
    let bias = with_bias.then_some(bias);
    case.dispatch([FinishRows { rows: inverses.len(), outputs, inverse, bias, out }.dispatch()]);
    case
}
