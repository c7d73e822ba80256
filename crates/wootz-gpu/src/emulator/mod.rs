//! The device that is there on every machine with clang: kernels run on the processor, as a GPU would run them.
//!
//! It is part of the program and not of its tests alone, so that `--device emulator` shows a whole model go through the
//! kernels anywhere, and so that a report from a user's machine can be checked on another.
//!
//! A submission is run when somebody waits for it, the latest moment that the contract of [`Device`] allows. Whatever a
//! host does too early (writing to memory that a submission under way still reads) then shows every time, and is refused
//! by name. Where kernels are checked, so are the barriers between them.

mod libraries;
mod memory;
mod run;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

pub use msl::emulator::{Counts, Schedule};
use wootz_weights::MappedFile;

use crate::collective::Ranks;
use crate::device::{
    Access, BufferId, Command, Device, DeviceError, DeviceFacts, Family, Kernel, Profile, Slice, Submission,
    Timing,
};
use crate::meeting::{Meeting, Seat};
use libraries::Libraries;
use memory::Memory;

/// The device's name in messages.
const NAME: &str = "emulator";

/// What is looked at while kernels run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// Every access of memory, every barrier: some hundred times slower.
    Checked,
    /// Nothing: a kernel's mistake does to this process what it likes.
    Plain,
}

/// How an emulator runs kernels.
#[derive(Debug, Clone, PartialEq)]
pub struct EmulatorSettings {
    /// What is looked at.
    pub checks: Checks,
    /// The order of threads and threadgroups, and of dispatches between two barriers.
    pub schedule: Schedule,
    /// Operating-system threads at most; with checks it is always one.
    pub workers: usize,
    /// Where compiled kernels are kept for the next time. The folder may be deleted at any time.
    pub cache: PathBuf,
    /// Bytes that may be allocated together.
    pub memory: u64,
}

impl Default for EmulatorSettings {
    /// No checks, all processors, the user's cache folder, and the memory that this machine has.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (schedule, cache) = (Schedule::InOrder, msl::library::default_cache());
        Self { checks: Checks::Plain, schedule, workers, cache, memory: memory::of_this_machine() }
    }
}

impl EmulatorSettings {
    /// With checks, otherwise the default.
    pub fn checked() -> Self {
        Self { checks: Checks::Checked, ..Self::default() }
    }
}

/// A GPU that this processor stands in for.
pub struct Emulator {
    settings: EmulatorSettings,
    facts: DeviceFacts,
    memory: Memory,
    libraries: Libraries,
    /// What was submitted and not run yet, oldest first.
    waiting: VecDeque<(Submission, Vec<Command>, Profile)>,
    /// Outcomes of what has run and nobody waited for by its own number.
    finished: VecDeque<(Submission, Result<Timing, DeviceError>)>,
    next: u64,
    counts: Vec<(Kernel, Counts)>,
    /// Where it meets the others of its group.
    group: Option<Seat>,
}

impl Emulator {
    /// An emulator without memory or kernels.
    ///
    /// # Errors
    /// [`DeviceError::Absent`] with the package to install, where there is no clang.
    pub fn new(settings: EmulatorSettings) -> Result<Self, DeviceError> {
        let libraries = Libraries::new(&settings)?;
        let facts = DeviceFacts {
            name: NAME.to_owned(),
            family: Family::Emulator,
            driver: libraries.compiler().to_owned(),
            cores: u32::try_from(settings.workers).ok(),
            memory: settings.memory,
            buffer_bytes: settings.memory,
            bandwidth: None,
            half_rate: None,
            tensor_operations: true,
            matrix_library: false,
            register_factors: false,
            warpgroup_products: false,
            offset_alignment: memory::OFFSET_ALIGNMENT,
        };
        let memory = Memory::new(settings.memory, settings.checks);
        let (waiting, finished, counts) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Ok(Self { settings, facts, memory, libraries, waiting, finished, next: 0, counts, group: None })
    }

    /// Emulators that compute each step of a model together.
    ///
    /// # Errors
    /// As [`Emulator::new`].
    pub fn group(settings: &EmulatorSettings, ranks: usize) -> Result<Ranks, DeviceError> {
        let meeting = Arc::new(Meeting::new(ranks));
        let device = |rank| -> Result<Box<dyn Device>, DeviceError> {
            let emulator = Emulator::new(settings.clone())?;
            Ok(Box::new(Emulator { group: Some(Seat { meeting: meeting.clone(), rank }), ..emulator }))
        };
        let devices = (0..ranks).map(device).collect::<Result<_, _>>()?;
        Ok(Ranks { devices, group: meeting })
    }

    /// What each dispatch of the last submission that ran has done, in order. Bytes are counted with
    /// [`Checks::Checked`] only.
    pub fn counts(&self) -> &[(Kernel, Counts)] {
        &self.counts
    }

    /// Refuses to write to memory that a submission under way uses, and to read what one writes.
    fn unused(&self, slice: Slice, host: Access) -> Result<(), DeviceError> {
        let conflict =
            |used: Slice, access| used.overlaps(&slice) && (host != Access::Read || access != Access::Read);
        for (submission, commands, _) in &self.waiting {
            let dispatches = commands.iter().filter_map(|command| match command {
                Command::Dispatch(dispatch) => Some(dispatch),
                Command::Barrier => None,
            });
            for dispatch in dispatches {
                if let Some((used, _)) = dispatch.slices().find(|&(used, access)| conflict(used, access)) {
                    let what = if host == Access::Read { "reads" } else { "writes" };
                    let (from, end) = (slice.offset, slice.offset + slice.length);
                    let number = submission.0;
                    return Err(fault(
                        Some(dispatch.kernel),
                        format!(
                            "the host {what} bytes {from}..{end} of a buffer while submission {number} is under way, \
                             which uses {}..{} of it",
                            used.offset,
                            used.offset + used.length
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Runs what was submitted up to and with `last`.
    fn run_until(&mut self, last: Submission) {
        while self.waiting.front().is_some_and(|(submission, ..)| *submission <= last) {
            let Some((submission, commands, profile)) = self.waiting.pop_front() else { break };
            self.counts.clear();
            let outcome = run::run(
                &commands,
                profile,
                &self.settings,
                (&mut self.memory, &self.libraries, &mut self.counts, self.group.as_ref()),
            );
            self.finished.push_back((submission, outcome));
        }
    }
}

impl Device for Emulator {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.memory.allocate(bytes, purpose)
    }

    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        Ok(self.memory.map(file))
    }

    fn release(&mut self, buffer: BufferId) {
        // What is under way may still use it; a real device keeps memory alive for that long.
        self.run_until(Submission(u64::MAX));
        self.memory.release(buffer);
    }

    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.unused(to, Access::Write)?;
        self.memory.write(to, bytes)
    }

    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.unused(from, Access::Read)?;
        self.memory.read(from, bytes)
    }

    // What was submitted has not begun and leaves these bytes alone, so now is as good as later.
    fn read_idle(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.memory.read(from, bytes)
    }

    fn write_idle(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.memory.write(to, bytes)
    }

    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        self.libraries.prepare(kernels, progress)
    }

    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError> {
        for command in commands {
            if let Command::Dispatch(dispatch) = command {
                self.libraries.prepare(&[dispatch.kernel], &mut |_| ())?;
                self.memory.check(dispatch)?;
            }
        }
        let submission = Submission(self.next);
        self.next += 1;
        self.waiting.push_back((submission, commands.to_vec(), profile));
        Ok(submission)
    }

    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError> {
        self.run_until(submission);
        match self.finished.iter().position(|(known, _)| *known == submission) {
            Some(place) => {
                self.finished.remove(place).map_or_else(|| Ok(Timing::default()), |(_, outcome)| outcome)
            }
            None => Ok(Timing::default()),
        }
    }
}

/// An error in the middle of a submission.
fn fault(kernel: Option<Kernel>, message: String) -> DeviceError {
    DeviceError::Fault {
        device: NAME.to_owned(),
        kernel: kernel.map(|kernel| format!("{kernel:?}")),
        message,
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Emulator({:?}, {:?})", self.settings.checks, self.settings.schedule)
    }
}
