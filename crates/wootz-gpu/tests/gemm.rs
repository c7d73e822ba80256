//! What the header of `kernels/gemm_stages.metal` and [`Columns::Whole`] say of matrix products.

use std::path::Path;

use wootz_gpu::case::values;
use wootz_gpu::device::{Command, Device, Dispatch, Profile, Slice};
use wootz_gpu::emulator::{Checks, Counts, Emulator, EmulatorSettings};
use wootz_gpu::formats::sample::Sample;
use wootz_gpu::kernels::gemm::{Columns, Gemm, GemmTile, GroupedGemm, PlainGemm, PlainStage};
use wootz_gpu::kernels::matrix::{MatrixFormat, StoredMatrix};
use wootz_weights::TensorType;

const F16: MatrixFormat = MatrixFormat::Ggml(TensorType::F16);

fn emulator(checks: Checks) -> Emulator {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    Emulator::new(EmulatorSettings { checks, cache, ..EmulatorSettings::default() }).unwrap()
}

fn buffer(device: &mut Emulator, bytes: &[u8]) -> Slice {
    let buffer = device.allocate(bytes.len(), "a test").unwrap();
    let slice = Slice { buffer, offset: 0, length: bytes.len() };
    device.write(slice, bytes).unwrap();
    slice
}

fn stored(device: &mut Emulator, sample: &Sample) -> StoredMatrix {
    let data = buffer(device, &sample.data);
    let (format, rows, columns) = (sample.format, sample.rows, sample.columns);
    StoredMatrix { format, rows, columns, data, scales: None, biases: None }.checked().unwrap()
}

/// Runs a dispatch and gives the f32 of `out`.
fn run(device: &mut Emulator, dispatch: Dispatch, out: Slice) -> Vec<f32> {
    let submission = device.submit(&[Command::Dispatch(dispatch)], Profile::Whole).unwrap();
    device.wait(submission).unwrap();
    let mut bytes = vec![0; out.length];
    device.read(out, &mut bytes).unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

/// A row among 1, 17 and 64 rows, through every tile and as an expert's: the same bits.
#[test]
fn bits_of_a_row_do_not_depend_on_tile_or_rows() {
    for kind in [TensorType::F32, TensorType::F16, TensorType::Q4_0] {
        let (outputs, columns, most_rows) = (66, 160, 64);
        let device = &mut emulator(Checks::Plain);
        let sample = Sample::new(MatrixFormat::Ggml(kind), outputs, columns, 3);
        let matrix = stored(device, &sample);
        let mut inputs = values(most_rows * columns, 4);
        // The row that is looked at comes first and then last; its later columns change its power of two.
        (0..columns).for_each(|column| inputs[column] *= (column as f32 / 4.0).exp2());
        let (row, others) = inputs.split_at(columns);
        let turned = [others, row].concat();
        let first = buffer(device, bytemuck::cast_slice(&inputs));
        let last = buffer(device, bytemuck::cast_slice(&turned));
        let out = buffer(device, &vec![0; 4 * most_rows * outputs]);
        let offsets = buffer(device, bytemuck::cast_slice(&[0_u32, 17]));
        let part = |slice: Slice, rows: usize, width: usize| slice.part(0, 4 * rows * width);
        let mut found: Vec<Vec<u32>> = Vec::new();
        for tile in GemmTile::ALL {
            for rows in [1, 17, most_rows] {
                let (input, out) = (part(first, rows, columns), part(out, rows, outputs));
                let sum = Columns::Whole;
                let launch = Gemm { tile, sum, rows, matrix, bias: None, input, out }.dispatches().remove(0);
                let values = run(device, launch, out);
                found.push(values[..outputs].iter().map(|value| value.to_bits()).collect());
            }
            let (rows, sum) = (most_rows, Columns::Whole);
            let launch =
                Gemm { tile, sum, rows, matrix, bias: None, input: last, out }.dispatches().remove(0);
            let values = run(device, launch, out);
            found.push(values[(rows - 1) * outputs..].iter().map(|value| value.to_bits()).collect());
        }
        let (rows, input, out) = (17, part(first, 17, columns), part(out, 17, outputs));
        let grouped = GroupedGemm {
            rows,
            experts: 1,
            matrices: matrix,
            bias: None,
            expert_offsets: offsets,
            input,
            out,
        };
        let values = run(device, grouped.dispatch(), out);
        found.push(values[..outputs].iter().map(|value| value.to_bits()).collect());
        for (place, bits) in found.iter().enumerate() {
            assert_eq!(bits, &found[0], "{kind}, launch {place}");
        }
    }
}

/// A row of the table in the header.
fn line(name: &str, counts: &Counts) -> String {
    format!(
        "//   {name:<13} {:>11} {:>9} {:>18} {:>9} {:>18} {:>10}",
        counts.device_bytes_read,
        counts.device_bytes_written,
        counts.threadgroup_bytes_read,
        counts.threadgroup_bytes_written,
        counts.matrix_multiplies,
        counts.threadgroup_barriers,
    )
}

#[test]
fn the_table_of_stages_is_what_the_emulator_counts() {
    let (rows, outputs, columns) = (64, 128, 256);
    let device = &mut emulator(Checks::Checked);
    let sample = Sample::new(F16, outputs, columns, 5);
    let matrix = stored(device, &sample);
    let input = buffer(device, bytemuck::cast_slice(&values(rows * columns, 6)));
    let out = buffer(device, &vec![0; 4 * rows * outputs]);
    let plain = |stage| PlainGemm { stage, rows, matrix, bias: None, input, out }.dispatch();
    let gemm = |tile| {
        Gemm { tile, sum: Columns::Whole, rows, matrix, bias: None, input, out }.dispatches().remove(0)
    };
    let launches = [
        ("naive", plain(PlainStage::Naive)),
        ("tiled", plain(PlainStage::Tiled)),
        ("rows8", gemm(GemmTile::Rows8)),
        ("rows16", gemm(GemmTile::Rows16)),
        ("rows32", gemm(GemmTile::Rows32)),
        ("head", gemm(GemmTile::Head)),
        ("gemm", gemm(GemmTile::Rows64)),
    ];
    let lines: Vec<String> = launches
        .into_iter()
        .map(|(name, dispatch)| {
            run(device, dispatch, out);
            line(name, &device.counts()[0].1)
        })
        .collect();
    let header = include_str!("../../../kernels/gemm_stages.metal");
    assert!(lines.iter().all(|line| header.contains(line.as_str())), "the table is\n{}", lines.join("\n"));
}
