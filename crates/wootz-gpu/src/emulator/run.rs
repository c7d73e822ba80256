//! One submission: its dispatches, one after another.

use std::time::Instant;

use half::f16;
use msl::emulator::{Binding, Counts, FaultKind, Mode, Schedule};

use super::libraries::Libraries;
use super::memory::Memory;
use super::{Checks, EmulatorSettings, fault};
use crate::collective::AllReduce;
use crate::device::{Argument, Command, DeviceError, Dispatch, Kernel, Profile, Timing};
use crate::hazards::Hazards;
use crate::meeting::{NoSum, Seat};
use crate::product::MatrixProduct;

/// Runs commands to their end, or to the first fault.
///
/// Dispatches between two barriers are in the order of the schedule: a random one shuffles them.
pub fn run(
    commands: &[Command],
    profile: Profile,
    settings: &EmulatorSettings,
    (memory, libraries, counts, meeting): (
        &mut Memory,
        &Libraries,
        &mut Vec<(Kernel, Counts)>,
        Option<&Seat>,
    ),
) -> Result<Timing, DeviceError> {
    let begin = Instant::now();
    let mut timing = Timing::default();
    let mode = Mode { schedule: settings.schedule, workers: settings.workers };
    for group in commands.split(|command| *command == Command::Barrier) {
        let mut dispatches: Vec<&Dispatch> = group.iter().filter_map(dispatch).collect();
        if settings.checks == Checks::Checked {
            no_hazards(&dispatches)?;
        }
        if let Schedule::Random(seed) = settings.schedule {
            shuffle(&mut dispatches, seed);
        }
        for dispatch in dispatches {
            let start = Instant::now();
            let counted = match (MatrixProduct::of(dispatch), AllReduce::of(dispatch)) {
                (Some(product), _) => system_product(&product, dispatch, memory)?,
                (None, Some(sum)) => all_reduce(sum, dispatch, memory, meeting)?,
                (None, None) => run_one(dispatch, &mode, memory, libraries)?,
            };
            counts.push((dispatch.kernel, counted));
            if profile == Profile::Kernels {
                timing.kernels.push((dispatch.kernel, start.elapsed().as_secs_f64()));
            }
        }
    }
    timing.seconds = begin.elapsed().as_secs_f64();
    Ok(timing)
}

fn dispatch(command: &Command) -> Option<&Dispatch> {
    match command {
        Command::Dispatch(dispatch) => Some(dispatch),
        Command::Barrier => None,
    }
}

/// Refuses dispatches that may run at the same time and touch the same bytes.
fn no_hazards(group: &[&Dispatch]) -> Result<(), DeviceError> {
    let mut hazards = Hazards::default();
    for (place, dispatch) in group.iter().enumerate() {
        if hazards.before(dispatch) {
            let before: Vec<String> =
                group[..place].iter().map(|other| format!("{:?}", other.kernel)).collect();
            return Err(fault(
                Some(dispatch.kernel),
                format!(
                    "it touches what {} touches before it, and no barrier stands between them",
                    before.join(" or ")
                ),
            ));
        }
    }
    Ok(())
}

/// Fisher and Yates's shuffle, by a linear congruential generator: only variety matters.
fn shuffle(dispatches: &mut [&Dispatch], seed: u64) {
    let mut state = seed.wrapping_add(dispatches.len() as u64);
    for last in (1..dispatches.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        dispatches.swap(last, ((state >> 33) % (last as u64 + 1)) as usize);
    }
}

/// A matrix product by the device's own library: this device has none, so the host computes it.
fn system_product(
    product: &MatrixProduct,
    dispatch: &Dispatch,
    memory: &mut Memory,
) -> Result<Counts, DeviceError> {
    let absent = || fault(Some(dispatch.kernel), "a buffer of a matrix product is not there".to_owned());
    let mut half = |slice| -> Option<Vec<f16>> {
        let halves = memory.bytes(slice)?.chunks_exact(2);
        Some(halves.map(bytemuck::pod_read_unaligned).collect())
    };
    let (left, right) = (half(product.left).ok_or_else(absent)?, half(product.right).ok_or_else(absent)?);
    let (rows, columns, inner) = (product.rows, product.columns, product.inner);
    if left.len() < rows * inner || right.len() < columns * inner || product.out.length < 4 * rows * columns {
        return Err(DeviceError::Launch {
            kernel: format!("{:?}", dispatch.kernel),
            reason: format!("a product of {rows}x{inner} and {columns}x{inner} does not fit its slices"),
        });
    }
    let mut out = vec![0.0_f32; rows * columns];
    product.compute(&left[..rows * inner], &right[..columns * inner], &mut out);
    memory.write(product.out.part(0, 4 * out.len()), bytemuck::cast_slice(&out))?;
    Ok(at_least(dispatch))
}

/// A sum over the group: the host meets the other emulators.
fn all_reduce(
    sum: AllReduce,
    dispatch: &Dispatch,
    memory: &mut Memory,
    group: Option<&Seat>,
) -> Result<Counts, DeviceError> {
    let failed = |reason: &str| fault(Some(dispatch.kernel), reason.to_owned());
    let Seat { meeting, rank } = group.ok_or_else(|| failed("this device belongs to no group"))?;
    let bytes = memory.bytes(sum.values).ok_or_else(|| failed("the values of a sum are not there"))?;
    let values = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    let summed = meeting.add_up(*rank, values).map_err(|why| match why {
        NoSum::Abandoned => failed("another device of its group has failed"),
        NoSum::Lengths(own, other) => failed(&format!("it brings {own} values, and another device {other}")),
    })?;
    memory.write(sum.values, bytemuck::cast_slice(&summed))?;
    Ok(at_least(dispatch))
}

/// What a launch that is no kernel has moved: what it has to.
fn at_least(dispatch: &Dispatch) -> Counts {
    Counts {
        device_bytes_read: dispatch.work.bytes_read,
        device_bytes_written: dispatch.work.bytes_written,
        ..Counts::default()
    }
}

fn run_one(
    dispatch: &Dispatch,
    mode: &Mode,
    memory: &mut Memory,
    libraries: &Libraries,
) -> Result<Counts, DeviceError> {
    let kernel = || format!("{:?}", dispatch.kernel);
    let refused = |reason: &str| DeviceError::Launch { kernel: kernel(), reason: reason.to_owned() };
    let library = libraries.library(dispatch.kernel).ok_or_else(|| refused("it is not compiled"))?;
    let mut arguments = Vec::with_capacity(dispatch.arguments.len());
    for (index, argument) in dispatch.arguments.iter().enumerate() {
        let binding = match argument {
            Argument::Inline(bytes) => Binding::Bytes(bytes.to_vec()),
            Argument::Buffer(slice, access) => {
                // Submission checked it; a buffer may have been released since.
                let bound = memory.bind(*slice, *access).ok_or_else(|| refused("a buffer is not there"))?;
                Binding::Buffer(bound)
            }
        };
        arguments.push((index as u32, binding));
    }
    let launch = msl::emulator::Dispatch {
        kernel: dispatch.kernel.entry.to_owned(),
        arguments,
        threadgroups: dispatch.grid.threadgroups,
        threads: dispatch.grid.threads,
        ..Default::default()
    };
    library.run(&launch, mode).map_err(|found| match found.kind {
        FaultKind::Dispatch => refused(&found.to_string()),
        _ => fault(Some(dispatch.kernel), found.to_string()),
    })
}
