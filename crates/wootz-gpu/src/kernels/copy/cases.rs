//! Comparisons of the copy kernels: conversions with the crate `half`, copies with copies.

use half::{bf16, f16};

use super::{Convert, CopyPages, CopyRows, Number, Unit};
use crate::case::{Case, Check, values};

pub(super) fn cases() -> Vec<Case> {
    use Number::{BF16, F16, F32};
    let pairs = [(F32, F16), (F32, BF16), (F16, F32), (F16, BF16), (BF16, F32), (BF16, F16), (F16, F16)];
    let mut cases: Vec<Case> = pairs
        .into_iter()
        .flat_map(|(from, to)| [1, 4, 39, 515].map(|count| convert_case(from, to, count)))
        .collect();
    cases.push(rows_case(Unit::Word, 3, 5, 7, 6));
    cases.push(rows_case(Unit::Word, 1, 8, 8, 8));
    cases.push(rows_case(Unit::Byte, 4, 33, 40, 34));
    cases.push(rows_case(Unit::Byte, 2, 2, 2, 3));
    cases.push(pages_case(48));
    cases.push(pages_case(16 * 130));
    cases
}

/// Numbers of all magnitudes, and what is special about halves: halfway cases, subnormal ones, infinities.
fn numbers(count: usize) -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        1.0 + 1.0 / 2048.0,
        1.0 + 3.0 / 2048.0,
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
        65504.0,
        65519.0,
        65520.0,
        -1e30,
        6.0e-8,
        3.0e-8,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let mut numbers = values(count, 11);
    for (index, number) in numbers.iter_mut().enumerate() {
        *number *= 2.0_f32.powi(index as i32 % 40 - 20);
        if count > 30 && index < special.len() {
            *number = special[index];
        }
    }
    numbers
}

fn encode(number: Number, values: &[f32]) -> Vec<u8> {
    match number {
        Number::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Number::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        Number::BF16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
    }
}

/// The values that a type makes of `values`.
fn kept(number: Number, values: &[f32]) -> Vec<f32> {
    match number {
        Number::F32 => values.to_vec(),
        Number::F16 => values.iter().map(|&value| f16::from_f32(value).to_f32()).collect(),
        Number::BF16 => values.iter().map(|&value| bf16::from_f32(value).to_f32()).collect(),
    }
}

fn convert_case(from: Number, to: Number, count: usize) -> Case {
    let mut case = Case::new(format!("convert {from:?} to {to:?} {count}"));
    let inputs = kept(from, &numbers(count));
    // Both sides begin at the next place that a device allows, where no vector of four does.
    let mut bytes = vec![0xff; 4];
    bytes.extend(encode(from, &inputs));
    let mut expected = vec![0xff; 4];
    expected.extend(encode(to, &inputs));
    let input = case.input("input", &bytes).part(4, count * from.bytes());
    let out =
        case.buffer("out", vec![0xff; expected.len()], Check::Bytes(expected)).part(4, count * to.bytes());
    case.dispatch([Convert { from, to, count, input, out }.dispatch()]);
    case
}

fn rows_case(unit: Unit, rows: usize, width: usize, input_stride: usize, out_stride: usize) -> Case {
    let mut case = Case::new(format!("copy rows of {unit:?} {rows}x{width}"));
    let size = match unit {
        Unit::Word => 4,
        Unit::Byte => 1,
    };
    let bytes: Vec<u8> = (0..rows * input_stride * size).map(|index| (index * 7 + 1) as u8).collect();
    let mut expected = vec![0xff; rows * out_stride * size];
    for (from, to) in
        bytes.chunks_exact(input_stride * size).zip(expected.chunks_exact_mut(out_stride * size))
    {
        to[..width * size].copy_from_slice(&from[..width * size]);
    }
    let input = case.input("input", &bytes);
    let out = case.buffer("out", vec![0xff; expected.len()], Check::Bytes(expected));
    case.dispatch([CopyRows { unit, rows, width, input_stride, out_stride, input, out }.dispatch()]);
    case
}

fn pages_case(page_bytes: usize) -> Case {
    let mut case = Case::new(format!("copy pages of {page_bytes}"));
    let pages: Vec<u8> = (0..6 * page_bytes).map(|index| (index * 11 + index / page_bytes) as u8).collect();
    let pairs = [[1_u32, 5], [1, 0], [3, 4]];
    let mut expected = pages.clone();
    for [from, to] in pairs.map(|pair| pair.map(|page| page as usize * page_bytes)) {
        expected.copy_within(from..from + page_bytes, to);
    }
    let pool = case.buffer("pool", pages, Check::Bytes(expected));
    let pairs = case.input("pairs", &pairs);
    case.dispatch([CopyPages { count: 3, page_bytes, pool, pairs }.dispatch()]);
    case
}
