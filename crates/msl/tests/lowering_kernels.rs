//! The fixture kernels compute what their headers say, at sizes that are no multiple of anything.

use msl::emulator::{Binding, Buffer, ConstantValue, Dispatch, Library, Mode};
use msl::{Options, Source, compile};

fn library(name: &str, mode: msl::Mode) -> Library {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    let text = std::fs::read_to_string(folder.join(name)).expect("the fixture is there");
    let compiled = compile(&Source::new(name, text), &Options::new(mode));
    Library::open(&compiled.unwrap_or_else(|error| panic!("{error}"))).expect("the library loads")
}

/// Small numbers that halves hold exactly.
fn number(index: usize) -> f32 {
    ((index * 37 + index / 5) % 17) as f32 / 8.0 - 1.0
}

fn halves(count: usize) -> Vec<u8> {
    (0..count).flat_map(|index| half::f16::from_f32(number(index)).to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

#[test]
fn gemm_multiplies() {
    let (rows, columns, depth) = (37, 45, 50);
    for mode in [msl::Mode::Fast, msl::Mode::Checked] {
        let library = library("gemm.metal", mode);
        let (a, b) = (halves(rows * depth), halves(columns * depth));
        let mut out = vec![0xff; rows * columns * 4];
        let arguments = [rows, columns, depth].iter().flat_map(|size| (*size as u32).to_le_bytes()).collect();
        let dispatch = Dispatch {
            kernel: "gemm".to_owned(),
            arguments: vec![
                (0, Binding::Buffer(Buffer::read(&a))),
                (1, Binding::Buffer(Buffer::read(&b))),
                (2, Binding::Buffer(Buffer::output(&mut out))),
                (3, Binding::Bytes(arguments)),
            ],
            threadgroup_memory: vec![(0, 4096)],
            threadgroups: [2, 2, 1],
            threads: [128, 1, 1],
            ..Dispatch::default()
        };
        library.run(&dispatch, &Mode::random(7)).unwrap_or_else(|fault| panic!("{fault}"));
        drop(dispatch);
        for (index, found) in floats(&out).into_iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let products = (0..depth).map(|k| number(row * depth + k) * number(column * depth + k));
            // Eighths times eighths: every partial sum is exact.
            assert_eq!(found, products.sum::<f32>(), "row {row}, column {column}");
        }
    }
}

#[test]
fn function_constants_choose() {
    let (tokens, heads, size, rotated, first) = (3, 2, 12, 8, 5);
    for (mode, halves) in [(msl::Mode::Fast, false), (msl::Mode::Checked, true)] {
        let library = library("rope.metal", mode);
        let before: Vec<f32> = (0..tokens * heads * size).map(number).collect();
        let mut x: Vec<u8> = before.iter().flat_map(|value| value.to_le_bytes()).collect();
        let arguments =
            [heads, size, rotated, first].iter().flat_map(|size| (*size as u32).to_le_bytes()).collect();
        let dispatch = Dispatch {
            kernel: "rope_f32".to_owned(),
            arguments: vec![(0, Binding::Buffer(Buffer::read_write(&mut x))), (1, Binding::Bytes(arguments))],
            threadgroups: [1, heads as u32, tokens as u32],
            threads: [32, 1, 1],
            constants: vec![
                ("halves".to_owned(), ConstantValue::Bool(halves)),
                ("base".to_owned(), ConstantValue::Float(100.0)),
            ],
            ..Dispatch::default()
        };
        library.run(&dispatch, &Mode::default()).unwrap_or_else(|fault| panic!("{fault}"));
        drop(dispatch);
        let mut expected: Vec<f64> = before.iter().map(|value| f64::from(*value)).collect();
        for row in 0..tokens * heads {
            for pair in 0..rotated / 2 {
                let frequency = 100_f64.powf(-2.0 * pair as f64 / rotated as f64);
                let (sine, cosine) = ((first + row / heads) as f64 * frequency).sin_cos();
                let (i, j) = if halves { (pair, pair + rotated / 2) } else { (2 * pair, 2 * pair + 1) };
                let (i, j) = (row * size + i, row * size + j);
                let (a, b) = (expected[i], expected[j]);
                (expected[i], expected[j]) = (a * cosine - b * sine, a * sine + b * cosine);
            }
        }
        for (found, expected) in floats(&x).into_iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-5, "{halves}: {found}, not {expected}");
        }
    }
}
