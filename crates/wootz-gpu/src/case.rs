//! A kernel's test as data: inputs, launches, and what a scalar twin says must come out.
//!
//! Cases are compared on the emulator in tests, and on a user's own device by `wootz doctor`. While a case
//! runs, whatever its dispatches don't name is poison: outputs begin as NaN, and every buffer has guard bytes after it
//! that must not change.

use crate::device::{Argument, BufferId, Command, Device, DeviceError, Dispatch, Profile, Slice, Timing};

/// Bytes after each buffer that no kernel may touch.
const GUARD: usize = 256;
/// What outputs and guards hold before a case: as f32 and as f16 a NaN.
const POISON: u8 = 0xff;

/// One comparison of kernels with their twin.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is special about it: `rms_norm 3x100`.
    pub name: String,
    /// Its memory; [`BufferId`]s of the dispatches are places in this list.
    pub buffers: Vec<CaseBuffer>,
    /// What runs, in order, with a barrier between any two.
    pub dispatches: Vec<Dispatch>,
}

/// A buffer of a case.
#[derive(Debug, Clone)]
pub struct CaseBuffer {
    /// What it is, for messages.
    pub name: &'static str,
    /// What it holds before: poison where the case computes it.
    pub bytes: Vec<u8>,
    /// What it must hold after.
    pub check: Check,
}

/// What a buffer must hold after a case.
#[derive(Debug, Clone)]
pub enum Check {
    /// The bytes that it held before.
    Unchanged,
    /// Anything: it is scratch between two dispatches of the case.
    Scratch,
    /// Exactly these bytes.
    Bytes(Vec<u8>),
    /// These f32 values, so nearly.
    F32(Vec<f32>, Tolerance),
    /// These values as f16, so nearly. NaN stands for "still poison".
    F16(Vec<f32>, Tolerance),
}

/// How far a value may be from the twin's: `absolute + relative · |expected|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// In the value's own unit.
    pub absolute: f32,
    /// As a share of the expected value.
    pub relative: f32,
}

/// `count` values in -1 to 1 for a case, the same for the same `seed`: SplitMix64 (Steele et al. 2014).
pub fn values(count: usize, seed: u64) -> Vec<f32> {
    let value = |index: usize| {
        let mut z = (seed << 32).wrapping_add(index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(value).collect()
}

impl Tolerance {
    /// The same bits.
    pub const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };
}

impl Case {
    /// A case without buffers or dispatches.
    pub fn new(name: impl Into<String>) -> Case {
        Case { name: name.into(), buffers: Vec::new(), dispatches: Vec::new() }
    }

    /// A buffer that kernels only read.
    pub fn input<T: bytemuck::NoUninit>(&mut self, name: &'static str, values: &[T]) -> Slice {
        self.buffer(name, bytemuck::cast_slice(values).to_vec(), Check::Unchanged)
    }

    /// A poisoned buffer in which `expected` must come out.
    pub fn output_f32(&mut self, name: &'static str, expected: Vec<f32>, tolerance: Tolerance) -> Slice {
        let bytes = vec![POISON; 4 * expected.len()];
        self.buffer(name, bytes, Check::F32(expected, tolerance))
    }

    /// A buffer that is updated in place.
    pub fn updated_f32(
        &mut self,
        name: &'static str,
        before: &[f32],
        expected: Vec<f32>,
        tolerance: Tolerance,
    ) -> Slice {
        self.buffer(name, bytemuck::cast_slice(before).to_vec(), Check::F32(expected, tolerance))
    }

    /// Poisoned memory that carries results from one dispatch to the next.
    pub fn scratch(&mut self, name: &'static str, bytes: usize) -> Slice {
        self.buffer(name, vec![POISON; bytes], Check::Scratch)
    }

    /// Any buffer.
    pub fn buffer(&mut self, name: &'static str, bytes: Vec<u8>, check: Check) -> Slice {
        let slice = Slice { buffer: BufferId(self.buffers.len()), offset: 0, length: bytes.len() };
        self.buffers.push(CaseBuffer { name, bytes, check });
        slice
    }

    /// Runs the dispatches after those that are there.
    pub fn dispatch(&mut self, dispatches: impl IntoIterator<Item = Dispatch>) {
        self.dispatches.extend(dispatches);
    }

    /// Runs the case on `device` and compares.
    ///
    /// # Errors
    /// [`CaseError::Device`] when the device can't run it, [`CaseError::Differs`] with the first difference.
    pub fn run(&self, device: &mut dyn Device) -> Result<(), CaseError> {
        self.run_profiled(device, Profile::Whole).map(drop)
    }

    /// The same with a timing.
    ///
    /// # Errors
    /// As [`Case::run`].
    pub fn run_profiled(&self, device: &mut dyn Device, profile: Profile) -> Result<Timing, CaseError> {
        let mut ids = Vec::new();
        let outcome = self.run_in(device, &mut ids, profile);
        ids.into_iter().for_each(|id| device.release(id));
        outcome
    }

    fn run_in(
        &self,
        device: &mut dyn Device,
        ids: &mut Vec<BufferId>,
        profile: Profile,
    ) -> Result<Timing, CaseError> {
        for buffer in &self.buffers {
            let id = device.allocate(buffer.bytes.len() + GUARD, "a kernel's test")?;
            ids.push(id);
            let mut content = buffer.bytes.clone();
            content.resize(buffer.bytes.len() + GUARD, POISON);
            device.write(Slice { buffer: id, offset: 0, length: content.len() }, &content)?;
        }
        let mut commands = Vec::new();
        for dispatch in &self.dispatches {
            commands.push(Command::Dispatch(relocate(dispatch, ids)));
            commands.push(Command::Barrier);
        }
        let submission = device.submit(&commands, profile)?;
        let timing = device.wait(submission)?;
        for (buffer, &id) in self.buffers.iter().zip(ids.iter()) {
            let mut found = vec![0; buffer.bytes.len() + GUARD];
            device.read(Slice { buffer: id, offset: 0, length: found.len() }, &mut found)?;
            self.compare(buffer, &found)?;
        }
        Ok(timing)
    }

    fn compare(&self, buffer: &CaseBuffer, found: &[u8]) -> Result<(), CaseError> {
        let (found, guard) = found.split_at(buffer.bytes.len());
        let differs = |index: usize, found: String, expected: String| CaseError::Differs {
            case: self.name.clone(),
            buffer: buffer.name,
            index,
            found,
            expected,
        };
        if let Some(index) = guard.iter().position(|&byte| byte != POISON) {
            return Err(differs(found.len() + index, "a write".into(), "nothing behind its end".into()));
        }
        let difference = match &buffer.check {
            Check::Scratch => None,
            Check::Unchanged => first_difference(found, &buffer.bytes),
            Check::Bytes(expected) => first_difference(found, expected),
            Check::F32(expected, tolerance) => {
                let values: Vec<f32> = found
                    .chunks_exact(4)
                    .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("4 bytes")))
                    .collect();
                tolerance.first_difference(&values, expected)
            }
            Check::F16(expected, tolerance) => {
                let values: Vec<f32> = found
                    .chunks_exact(2)
                    .map(|bytes| half::f16::from_le_bytes(bytes.try_into().expect("2 bytes")).to_f32())
                    .collect();
                tolerance.first_difference(&values, expected)
            }
        };
        match difference {
            None => Ok(()),
            Some((index, found, expected)) => Err(differs(index, found, expected)),
        }
    }
}

fn first_difference(found: &[u8], expected: &[u8]) -> Option<(usize, String, String)> {
    let index = found.iter().zip(expected).position(|(a, b)| a != b)?;
    Some((index, format!("byte {}", found[index]), format!("byte {}", expected[index])))
}

impl Tolerance {
    fn first_difference(&self, found: &[f32], expected: &[f32]) -> Option<(usize, String, String)> {
        let near = |found: f32, expected: f32| {
            found == expected
                || (found.is_nan() && expected.is_nan())
                || (found - expected).abs() <= self.absolute + self.relative * expected.abs()
        };
        let index = found.iter().zip(expected).position(|(&found, &expected)| !near(found, expected))?;
        let allowed = self.absolute + self.relative * expected[index].abs();
        Some((index, found[index].to_string(), format!("{} ± {allowed:e}", expected[index])))
    }
}

/// The dispatch on the device's buffers instead of the case's places.
fn relocate(dispatch: &Dispatch, ids: &[BufferId]) -> Dispatch {
    let mut dispatch = dispatch.clone();
    for argument in &mut dispatch.arguments {
        if let Argument::Buffer(slice, _) = argument {
            slice.buffer = ids[slice.buffer.0];
        }
    }
    dispatch
}

/// Why a case failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CaseError {
    /// The device could not run it.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A value is not what the twin computes.
    #[error("{case}: element {index} of {buffer} is {found}, and its twin says {expected}")]
    Differs {
        /// The case.
        case: String,
        /// The buffer.
        buffer: &'static str,
        /// The first element that differs.
        index: usize,
        /// What the device computed.
        found: String,
        /// What was expected.
        expected: String,
    },
}
