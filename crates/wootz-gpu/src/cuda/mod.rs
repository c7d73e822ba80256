//! NVIDIA GPUs, through the driver: the kernels' text was compiled to PTX before, and the driver compiles that for the
//! GPU at hand.
//!
//! Everything runs in one stream, in order. A list of commands that comes again becomes a graph: there, launches between
//! two barriers run beside each other. Copies from the host go into the same stream (small ones are staged by the driver,
//! which returns at once); copies to the host have a stream of their own, so that reading a finished step does not wait for
//! the one under way.

mod branches;
mod driver;
mod graph;
mod graphs;
mod group;
mod launch;
mod launches;
mod library;
mod memory;
mod programs;

use std::collections::VecDeque;
use std::sync::Arc;

use wootz_weights::MappedFile;

use crate::collective::{MOST_RANKS, Ranks};
use crate::device::{
    BufferId, Command, Device, DeviceError, DeviceFacts, Family, Kernel, Profile, Slice, Submission, Timing,
};
use branches::Branches;
pub use driver::has;
use driver::{Context, Event, Stream};
use graph::Graph;
use graphs::{Graphs, Next};
use group::Communicators;
use launch::Begin;
use launches::Launches;
use library::MatrixLibrary;
use memory::Memory;
pub use programs::Program;
use programs::Programs;

/// The one compute capability whose GPUs multiply for warpgroups.
const HOPPER: u8 = 90;
/// Bytes that a buffer's offset in an argument is a multiple of: what Metal asks for, and what the kernels are written for.
const OFFSET_ALIGNMENT: usize = 4;

/// A GPU of NVIDIA's.
pub struct Cuda {
    // Dropped in this order: what was made in the context goes before it.
    waiting: VecDeque<UnderWay>,
    graphs: Graphs,
    /// The group that it belongs to, and its rank there.
    group: Option<(Arc<Communicators>, usize)>,
    library: Option<MatrixLibrary>,
    programs: Programs,
    memory: Memory,
    branches: Branches,
    work: Stream,
    copies: Stream,
    context: Arc<Context>,
    facts: DeviceFacts,
    next: u64,
}

/// A submission whose end nobody has waited for.
struct UnderWay {
    submission: Submission,
    begun: Event,
    /// The end of each dispatch with [`Profile::Kernels`].
    kernels: Vec<(Kernel, Event)>,
    ended: Event,
}

impl Cuda {
    /// The GPU of a number, with the kernels' programs by the name of their file.
    ///
    /// # Errors
    /// [`DeviceError::Absent`] without a driver or such a GPU.
    pub fn open(number: u32, programs: Vec<Program>) -> Result<Self, DeviceError> {
        let context = Arc::new(Context::open(number)?);
        let properties = context.properties()?;
        let (work, copies) = (Stream::new(&context)?, Stream::new(&context)?);
        let branches = Branches::new(&context)?;
        let library = MatrixLibrary::open(&context, &work);
        let facts = DeviceFacts {
            name: properties.name,
            family: Family::Nvidia(properties.capability),
            driver: format!("CUDA driver {}.{}", properties.driver / 1000, properties.driver % 1000 / 10),
            cores: Some(properties.multiprocessors),
            memory: properties.memory,
            buffer_bytes: properties.memory,
            bandwidth: None,
            half_rate: None,
            tensor_operations: false,
            matrix_library: library.is_some(),
            register_factors: true,
            warpgroup_products: properties.capability == HOPPER,
            offset_alignment: OFFSET_ALIGNMENT,
        };
        let programs = Programs::new(&context, programs);
        let memory = Memory::new(&context, facts.name.clone());
        Ok(Self {
            waiting: VecDeque::new(),
            graphs: Graphs::default(),
            group: None,
            library,
            programs,
            memory,
            branches,
            work,
            copies,
            context,
            facts,
            next: 0,
        })
    }

    /// GPUs that compute each step of a model together, by their numbers, which all differ.
    ///
    /// # Errors
    /// As [`Cuda::open`], and [`DeviceError::Group`] without NCCL.
    pub fn group(numbers: &[u32], programs: &[Program]) -> Result<Ranks, DeviceError> {
        if !(2..=MOST_RANKS).contains(&numbers.len()) {
            let devices = format!("{} GPUs", numbers.len());
            return Err(DeviceError::Group { devices, reason: format!("a group has 2 to {MOST_RANKS}") });
        }
        let opened = numbers.iter().map(|&number| Cuda::open(number, programs.to_vec()));
        let mut gpus = opened.collect::<Result<Vec<_>, _>>()?;
        let members: Vec<_> =
            numbers.iter().zip(&gpus).map(|(&number, gpu)| (number, &gpu.context, &gpu.work)).collect();
        let group = Communicators::new(&members)?;
        for (rank, gpu) in gpus.iter_mut().enumerate() {
            gpu.group = Some((group.clone(), rank));
        }
        let devices = gpus.into_iter().map(|gpu| -> Box<dyn Device> { Box::new(gpu) }).collect();
        Ok(Ranks { devices, group })
    }

    /// What launches take of it.
    fn launches(&mut self) -> Launches<'_> {
        Launches {
            programs: &mut self.programs,
            memory: &self.memory,
            library: self.library.as_ref(),
            group: self.group.as_ref(),
            branches: &self.branches,
            work: &self.work,
            context: &self.context,
        }
    }

    /// Commands as a graph, made while no GPU of the group waits for another. The driver may wait for all GPUs where it
    /// allocates, which making a graph and starting it for the first time do; if one of them waited for a sum that this one
    /// has not begun, both would wait for ever. All ranks come here with the same list of their steps.
    fn build_together(
        &mut self,
        commands: &[Command],
        (group, rank): (&Communicators, usize),
    ) -> Result<Graph, DeviceError> {
        self.work.synchronize()?;
        group.meet(rank)?;
        let graph = self.launches().graph(commands)?;
        self.work.upload(&graph)?;
        self.work.synchronize()?;
        group.meet(rank)?;
        Ok(graph)
    }

    /// Starts commands, as a graph where they have come before.
    fn start(&mut self, commands: &[Command]) -> Result<(), DeviceError> {
        let key = match self.graphs.next(commands) {
            Next::Start(graph) => return self.work.start(graph),
            Next::Build(key) => key,
            Next::Launch => return self.launches().launch_all(commands),
        };
        let graph = match self.group.clone() {
            None => self.launches().graph(commands)?,
            Some((group, rank)) => self.build_together(commands, (&group, rank))?,
        };
        self.work.start(self.graphs.keep(key, commands, graph))
    }
}

impl Device for Cuda {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.memory.allocate(bytes, purpose)
    }

    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        let buffer = self.memory.allocate(file.bytes().len(), "the weights")?;
        let whole = Slice { buffer, offset: 0, length: file.bytes().len() };
        self.write(whole, file.bytes())?;
        Ok(buffer)
    }

    fn release(&mut self, buffer: BufferId) {
        // What is under way may still use it. A fault shows when somebody waits for its submission.
        let _ = self.work.synchronize();
        self.graphs.clear();
        self.memory.release(buffer);
    }

    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        let address = self.memory.address_for_copy(to, bytes.len())?;
        self.work.copy_in(address, bytes)
    }

    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let address = self.memory.address_for_copy(from, bytes.len())?;
        self.copies.copy_out(bytes, address)
    }

    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        let ours = |kernel: &&Kernel| kernel.source.is_compiled();
        let kernels: Vec<Kernel> = kernels.iter().filter(ours).copied().collect();
        self.programs.prepare(&kernels, progress)
    }

    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError> {
        let begun = Event::new(&self.context)?;
        self.work.record(&begun)?;
        let mut kernels = Vec::new();
        match profile {
            Profile::Whole => self.start(commands)?,
            Profile::Kernels => {
                for command in commands {
                    let Some(dispatch) = command.dispatch() else { continue };
                    self.launches().launch(dispatch, Begin::AfterAll)?;
                    let ended = Event::new(&self.context)?;
                    self.work.record(&ended)?;
                    kernels.push((dispatch.kernel, ended));
                }
            }
        }
        let ended = Event::new(&self.context)?;
        self.work.record(&ended)?;
        let submission = Submission(self.next);
        self.next += 1;
        self.waiting.push_back(UnderWay { submission, begun, kernels, ended });
        Ok(submission)
    }

    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError> {
        let mut timing = Timing::default();
        while self.waiting.front().is_some_and(|first| first.submission <= submission) {
            let Some(done) = self.waiting.pop_front() else { break };
            done.ended.synchronize()?;
            let mut before = &done.begun;
            let mut kernels = Vec::with_capacity(done.kernels.len());
            for (kernel, ended) in &done.kernels {
                kernels.push((*kernel, ended.seconds_since(before)?));
                before = ended;
            }
            timing = Timing { seconds: done.ended.seconds_since(&done.begun)?, kernels };
        }
        Ok(timing)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // Memory must not go while a kernel uses it.
        let _ = self.work.synchronize();
        let _ = self.copies.synchronize();
    }
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Cuda({})", self.facts.name)
    }
}
