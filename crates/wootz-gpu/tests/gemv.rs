//! What a matrix times few rows promises beyond its results: the same bits in every batch, and each byte read once.

use std::path::Path;

use wootz_gpu::case::{Case, Check, values};
use wootz_gpu::device::{BufferId, Command, Device, Dispatch, Profile, Slice};
use wootz_gpu::emulator::{Checks, Emulator, EmulatorSettings};
use wootz_gpu::formats::sample::Sample;
use wootz_gpu::kernels::gemv::{Gemv, MOST_ROWS};
use wootz_gpu::kernels::matrix::{MatrixFormat, StoredMatrix};
use wootz_weights::TensorType;

const FREQUENT: [TensorType; 8] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q8_0,
    TensorType::Q4_0,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
];

fn emulator(checks: Checks) -> Emulator {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    let settings = EmulatorSettings { checks, cache, ..EmulatorSettings::default() };
    Emulator::new(settings).unwrap_or_else(|error| panic!("{error}"))
}

fn run(device: &mut Emulator, dispatch: Dispatch) {
    let submission = device.submit(&[Command::Dispatch(dispatch)], Profile::Whole).unwrap();
    device.wait(submission).unwrap();
}

/// A matrix, rows of input and room for the result on a device.
struct World {
    device: Emulator,
    matrix: StoredMatrix,
    input: Slice,
    out: Slice,
}

impl World {
    fn new(kind: TensorType, outputs: usize, columns: usize, checks: Checks) -> World {
        let mut device = emulator(checks);
        let mut case = Case::new("only its buffers are used");
        let matrix = Sample::new(MatrixFormat::Ggml(kind), outputs, columns, 3).store(&mut case, 0);
        let input = case.input("input", &values(MOST_ROWS * columns, 4));
        let out = case.buffer("out", vec![0; 4 * MOST_ROWS * outputs], Check::Scratch);
        let ids: Vec<BufferId> = case
            .buffers
            .iter()
            .map(|buffer| {
                let id = device.allocate(buffer.bytes.len(), "a test").unwrap();
                device
                    .write(Slice { buffer: id, offset: 0, length: buffer.bytes.len() }, &buffer.bytes)
                    .unwrap();
                id
            })
            .collect();
        let there = |slice: Slice| Slice { buffer: ids[slice.buffer.0], ..slice };
        let matrix = StoredMatrix { data: there(matrix.data), ..matrix };
        World { device, matrix, input: there(input), out: there(out) }
    }

    /// Multiplies rows `first .. first + rows` of the input.
    fn multiply(&mut self, first: usize, rows: usize) -> Vec<u32> {
        let width = 4 * self.matrix.columns;
        let input = self.input.part(first * width, rows * width);
        let out = self.out.part(0, 4 * rows * self.matrix.rows);
        run(&mut self.device, Gemv { rows, input, matrix: self.matrix, bias: None, out }.dispatch());
        let mut bytes = vec![0; out.length];
        self.device.read(out, &mut bytes).unwrap();
        bytes.chunks_exact(4).map(|bits| u32::from_le_bytes(bits.try_into().unwrap())).collect()
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    for kind in FREQUENT {
        let (outputs, columns) = (5, 1280);
        let mut world = World::new(kind, outputs, columns, Checks::Plain);
        let together = world.multiply(0, MOST_ROWS);
        for (first, rows) in [(0, 1), (7, 1), (2, 2), (3, 3), (1, 7)] {
            let part = world.multiply(first, rows);
            assert_eq!(part, together[first * outputs..][..rows * outputs], "{kind}: rows {first} +{rows}");
        }
    }
}

#[test]
fn each_byte_of_the_matrix_is_loaded_by_one_lane_but_for_what_lanes_of_a_block_share() {
    let (outputs, columns) = (8, 1280);
    // Bytes that lanes load of a block, all together: more than the block where they share its scales.
    let loaded = [
        (TensorType::F32, 4),
        (TensorType::F16, 2),
        (TensorType::BF16, 2),
        (TensorType::Q8_0, 2 * (16 + 2)),
        (TensorType::Q4_0, 18),
        (TensorType::Q4_K, 8 * (16 + 16)),
        (TensorType::Q5_K, 8 * (16 + 16 + 16)),
        (TensorType::Q6_K, 8 * (16 + 16 + 2 + 2)),
    ];
    for (kind, block) in loaded {
        let mut world = World::new(kind, outputs, columns, Checks::Checked);
        world.multiply(0, 1);
        let (kernel, counts) = world.device.counts()[0];
        let matrix = outputs * columns / kind.block_elements() * block;
        // Each of the two simdgroups, of four outputs, reads the input once.
        assert_eq!(counts.device_bytes_read, (matrix + 2 * 4 * columns) as u64, "{kernel:?}");
        assert_eq!(counts.device_bytes_written, 4 * outputs as u64, "{kernel:?}");
        assert_eq!((counts.threadgroup_barriers, counts.threadgroup_bytes_read), (0, 0), "{kernel:?}");
        // One sum for each output, by its simdgroup.
        assert_eq!(counts.simd_collectives, outputs as u64, "{kernel:?}");
    }
}
