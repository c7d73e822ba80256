//! What the other kernels take for granted of a device: `kernels/probe.metal`.

use arrayvec::ArrayVec;
use half::{bf16, f16};

use super::Concept;
use crate::case::{Case, Check, Tolerance};
use crate::device::{Argument, Dispatch, Grid, Kernel, Work};
use crate::source::KernelSource;

/// The questions.
pub const CONCEPT: Concept = Concept { name: "probe", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "probe.metal",
    text: include_str!("../../../../kernels/probe.metal"),
    arguments: &[],
}];

fn cases() -> Vec<Case> {
    vec![simdgroup(), matrix_layout(), threadgroup(), atomics(), numbers()]
}

fn launch(
    entry: &'static str,
    arguments: impl IntoIterator<Item = Argument>,
    threadgroups: u32,
    threads: u32,
) -> Dispatch {
    Dispatch {
        kernel: Kernel { source: &SOURCES[0], entry },
        arguments: ArrayVec::from_iter(arguments),
        grid: Grid { threadgroups: [threadgroups, 1, 1], threads: [threads, 1, 1] },
        work: Work::default(),
    }
}

fn words(values: impl IntoIterator<Item = u32>) -> Vec<u8> {
    values.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn simdgroup() -> Case {
    let mut case = Case::new("SIMD groups of 32 lanes");
    let blocks: [fn(u32) -> u32; 6] =
        [|lane| lane, |_| 32, |lane| lane ^ 1, |_| 15, |lane| lane * lane.saturating_sub(1) / 2, |_| 496];
    let expected = words(blocks.into_iter().flat_map(|block| (0..32).map(block)));
    let out = case.buffer("out", vec![0xff; expected.len()], Check::Bytes(expected));
    case.dispatch([launch("probe_simdgroup", [Argument::write(out)], 1, 32)]);
    case
}

fn matrix_layout() -> Case {
    let mut case = Case::new("matrices of 8 x 8 lie in lanes as on M1 to M4");
    // A lane holds two neighbours of a row: the quarters of the SIMD group are the quarters of the matrix.
    let expected = (0..32_u32).flat_map(|lane| {
        let row = (lane & 16) / 4 + (lane & 6) / 2;
        let column = (lane & 8) / 2 + (lane & 1) * 2;
        [0, 1].map(|next| (row * 8 + column + next) as f32)
    });
    let out = case.output_f32("out", expected.collect(), Tolerance::EXACT);
    case.dispatch([launch("probe_matrix_layout", [Argument::write(out)], 1, 32)]);
    case
}

fn threadgroup() -> Case {
    let mut case = Case::new("32 KiB of threadgroup memory, 1,024 threads");
    let word = |index: u32| (index & 8191).wrapping_mul(2_654_435_761);
    let seen = |thread: u32| (0..8).fold(0, |sum, i| sum ^ word(thread * 8 + i * 1021));
    let expected = words((0..1024).map(seen));
    let out = case.buffer("out", vec![0xff; expected.len()], Check::Bytes(expected));
    case.dispatch([launch("probe_threadgroup", [Argument::write(out)], 1, 1024)]);
    case
}

fn atomics() -> Case {
    let mut case = Case::new("atomic counters");
    let expected = words([1024, 1023 * 1024 / 2, 1023]);
    let counts = case.buffer("counts", words([0; 3]), Check::Bytes(expected));
    case.dispatch([launch("probe_atomics", [Argument::update(counts)], 4, 256)]);
    case
}

fn numbers() -> Case {
    let mut case = Case::new("rounding, infinities, NaN");
    // Ties and overflow of both formats, numbers below f16's normal ones, and signs.
    let mut values = vec![
        0.0,
        -0.0,
        1.0,
        -2.5,
        65504.0,
        65519.9,
        65520.0,
        -70000.0,
        1.000_488_3,
        1.001_464_8,
        6.0e-8,
        2.0e-8,
        1e-5,
        3.390_625,
        1.003_906_3,
        1.011_718_8,
        1e30,
        -1e-30,
        0.1,
        0.333_333_34,
    ];
    values.extend((0..12).map(|i| (i as f32 - 6.5) * 1.234_567_9));
    let column = |of: fn(f32) -> u32| values.iter().copied().map(of).collect::<Vec<u32>>();
    let expected = [
        column(|x| f16::from_f32(x).to_bits().into()),
        column(|x| bf16::from_f32(x).to_bits().into()),
        column(|x| x.mul_add(x, -1.0).to_bits()),
        column(|x| (0.0 + x).to_bits()),
        column(|_| 1),
    ];
    let numbers = case.input("numbers", &values);
    let out = case.buffer("out", vec![0xff; 4 * 160], Check::Bytes(words(expected.concat())));
    case.dispatch([launch("probe_numbers", [Argument::read(numbers), Argument::write(out)], 1, 32)]);
    case
}
