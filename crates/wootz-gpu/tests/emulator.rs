//! The emulator as a device: order, memory, and what it refuses.

use arrayvec::ArrayVec;

use wootz_gpu::device::{
    Access, Argument, BufferId, Command, Device, DeviceError, Dispatch, Grid, Kernel, Profile, Slice, Work,
};
use wootz_gpu::emulator::{Emulator, EmulatorSettings};
use wootz_gpu::source::KernelSource;
use wootz_weights::MappedFile;

static SOURCE: KernelSource = KernelSource {
    file: "count.metal",
    text: "#include <metal_stdlib>
using namespace metal;
kernel void add_one(device const uint* input [[buffer(0)]], device uint* out [[buffer(1)]],
                    uint i [[thread_position_in_grid]])
{
    out[i] = input[i] + 1;
}
",
    arguments: &[],
};
const ADD_ONE: Kernel = Kernel { source: &SOURCE, entry: "add_one" };

fn emulator() -> Emulator {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    let memory = 1 << 20;
    Emulator::new(EmulatorSettings { cache, memory, ..EmulatorSettings::checked() }).unwrap()
}

fn dispatch(input: Slice, out: Slice) -> Dispatch {
    Dispatch {
        kernel: ADD_ONE,
        arguments: ArrayVec::from_iter([Argument::read(input), Argument::write(out)]),
        grid: Grid { threadgroups: [1, 1, 1], threads: [32, 1, 1] },
        work: Work::default(),
    }
}

/// A buffer of four arrays of 32 numbers, the first of them counting from 0.
fn four_arrays(device: &mut Emulator) -> [Slice; 4] {
    let buffer = device.allocate(512, "a test").unwrap();
    let numbers: Vec<u8> = (0..32u32).flat_map(u32::to_le_bytes).collect();
    let slices = [0, 1, 2, 3].map(|place| Slice { buffer, offset: 128 * place, length: 128 });
    device.write(slices[0], &numbers).unwrap();
    slices
}

fn first(device: &mut Emulator, slice: Slice) -> u32 {
    let mut bytes = [0; 4];
    device.read(slice.part(0, 4), &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

#[test]
fn dispatches_run_in_order_and_are_counted() {
    let mut device = emulator();
    let [a, b, c, _] = four_arrays(&mut device);
    let commands = [Command::Dispatch(dispatch(a, b)), Command::Barrier, Command::Dispatch(dispatch(b, c))];
    let submission = device.submit(&commands, Profile::Kernels).unwrap();
    let timing = device.wait(submission).unwrap();
    assert_eq!((timing.kernels.len(), first(&mut device, c)), (2, 2));
    let (kernel, counts) = device.counts()[1];
    assert_eq!((kernel, counts.device_bytes_read, counts.device_bytes_written), (ADD_ONE, 128, 128));
}

#[test]
fn a_missing_barrier_is_refused() {
    let mut device = emulator();
    let [a, b, c, d] = four_arrays(&mut device);
    let fine = [Command::Dispatch(dispatch(a, b)), Command::Dispatch(dispatch(a, c))];
    let submission = device.submit(&fine, Profile::Whole).unwrap();
    device.wait(submission).unwrap();
    let wrong = [Command::Dispatch(dispatch(a, b)), Command::Dispatch(dispatch(b, d))];
    let submission = device.submit(&wrong, Profile::Whole).unwrap();
    let message = device.wait(submission).unwrap_err().to_string();
    assert!(message.contains("no barrier stands between"), "{message}");
}

#[test]
fn a_host_that_does_not_wait_is_refused() {
    let mut device = emulator();
    let [a, b, c, _] = four_arrays(&mut device);
    let submission = device.submit(&[Command::Dispatch(dispatch(a, b))], Profile::Whole).unwrap();
    let message = device.write(a.part(0, 4), &[0; 4]).unwrap_err().to_string();
    assert!(message.contains("while submission 0 is under way"), "{message}");
    assert!(device.read(b, &mut [0; 128]).is_err());
    device.read(a, &mut [0; 128]).unwrap();
    device.write(c, &[0; 128]).unwrap();
    device.wait(submission).unwrap();
    device.write(a.part(0, 4), &[7; 4]).unwrap();
    assert_eq!(first(&mut device, b), 1);
}

#[test]
fn a_fault_names_its_line_and_the_next_submission_works() {
    let mut device = emulator();
    let [a, b, c, _] = four_arrays(&mut device);
    let short = Slice { length: 64, ..b };
    let failing = device.submit(&[Command::Dispatch(dispatch(a, short))], Profile::Whole).unwrap();
    let next = device.submit(&[Command::Dispatch(dispatch(a, c))], Profile::Whole).unwrap();
    device.wait(next).unwrap();
    let error = device.wait(failing).unwrap_err();
    let DeviceError::Fault { kernel, message, .. } = &error else { panic!("{error}") };
    assert_eq!(kernel.as_deref(), Some("count.metal:add_one"));
    assert!(message.contains("count.metal:6") && message.contains("thread 16"), "{message}");
    assert_eq!(first(&mut device, c), 1);
}

#[test]
fn memory_is_bounded_and_comes_back() {
    let mut device = emulator();
    let most = device.allocate(1 << 20, "a test").unwrap();
    let error = device.allocate(1, "the key/value pool").unwrap_err();
    assert_eq!(error.to_string(), "the key/value pool takes 1 bytes, and emulator has 0 left");
    device.release(most);
    device.allocate(1 << 20, "a test").unwrap();
    assert!(device.allocate(usize::MAX, "a test").is_err());
}

#[test]
fn what_can_not_run_is_refused_when_it_is_submitted() {
    let mut device = emulator();
    let [a, b, ..] = four_arrays(&mut device);
    let unaligned = Slice { offset: 2, length: 64, ..a };
    let beyond = Slice { offset: 512, length: 128, ..a };
    let gone = Slice { buffer: BufferId(9), ..a };
    for slice in [unaligned, beyond, gone] {
        let error = device.submit(&[Command::Dispatch(dispatch(slice, b))], Profile::Whole).unwrap_err();
        assert!(matches!(error, DeviceError::Launch { .. }), "{error}");
    }
    let unknown = Dispatch { kernel: Kernel { entry: "add_two", ..ADD_ONE }, ..dispatch(a, b) };
    let error = device.submit(&[Command::Dispatch(unknown)], Profile::Whole).unwrap_err();
    assert!(matches!(error, DeviceError::Compile { .. }), "{error}");
}

#[test]
fn a_mapped_file_is_read_in_place_and_never_written() {
    let mut device = emulator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    std::fs::write(&path, [5; 128]).unwrap();
    let file = MappedFile::open(&path).unwrap();
    let buffer = device.map(&file).unwrap();
    let mapped = Slice { buffer, offset: 0, length: 128 };
    let [a, b, ..] = four_arrays(&mut device);
    let submission = device.submit(&[Command::Dispatch(dispatch(mapped, b))], Profile::Whole).unwrap();
    device.wait(submission).unwrap();
    assert_eq!(first(&mut device, b), 0x0505_0506);
    let written = dispatch(a, mapped);
    assert_eq!(written.slices().nth(1), Some((mapped, Access::Write)));
    let error = device.submit(&[Command::Dispatch(written)], Profile::Whole).unwrap_err();
    assert!(error.to_string().contains("mapped for reading"), "{error}");
    assert!(device.write(mapped, &[0; 128]).is_err());
}
