//! NVIDIA GPUs, through the driver: the kernels' text was compiled to PTX before, and the driver compiles that for the
//! GPU at hand.
//!
//! Everything runs in one stream, in order. A list of commands that comes again becomes a graph: there, launches between
//! two barriers run beside each other. Copies from the host go into the
//! same stream (small ones are staged by the driver, which returns at once); copies to the host have a stream of their own,
//! so that reading a finished step does not wait for the one under way.

mod branches;
mod driver;
mod graph;
mod graphs;
mod group;
mod launch;
mod library;
mod memory;
mod programs;

use std::collections::VecDeque;
use std::sync::Arc;

use wootz_weights::MappedFile;

use crate::collective::{AllReduce, MOST_RANKS, Ranks};
use crate::device::{
    Argument, BufferId, Command, Device, DeviceError, DeviceFacts, Dispatch, Family, Kernel, Profile, Slice,
    Submission, Timing,
};
use crate::product::MatrixProduct;
use branches::Branches;
pub use driver::has;
use driver::{Context, Event, Stream};
use graph::{Graph, GraphBuilder};
use graphs::{Graphs, Next};
use group::Communicators;
use launch::Begin;
use library::MatrixLibrary;
use memory::Memory;
pub use programs::Program;
use programs::{Function, Parameter, Programs};

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

    /// Puts launches into the stream.
    fn launch_all(&mut self, commands: &[Command]) -> Result<(), DeviceError> {
        let mut launches = Launches {
            programs: &mut self.programs,
            memory: &self.memory,
            library: self.library.as_ref(),
            group: self.group.as_ref(),
            work: &self.work,
        };
        let mut dispatches = commands.iter().filter_map(Command::dispatch);
        dispatches.try_for_each(|dispatch| launches.launch(dispatch, &self.work, Begin::AfterAll))
    }

    /// The same launches as a graph.
    fn build(&mut self, commands: &[Command]) -> Result<Graph, DeviceError> {
        let mut launches = Launches {
            programs: &mut self.programs,
            memory: &self.memory,
            library: self.library.as_ref(),
            group: self.group.as_ref(),
            work: &self.work,
        };
        // What a library launches is known only by watching it.
        let watched = |dispatch: &Dispatch| !dispatch.kernel.source.is_compiled();
        if commands.iter().filter_map(Command::dispatch).any(watched) {
            return self.work.capture(|| launches.launch_spread(commands, &self.branches));
        }
        let mut builder = GraphBuilder::new(&self.context)?;
        for command in commands {
            match command {
                Command::Barrier => builder.barrier(),
                Command::Dispatch(dispatch) => {
                    let (function, mut values) = launches.bind(dispatch)?;
                    builder
                        .launch(function, dispatch.grid, &mut values)
                        .map_err(|error| refused(dispatch, error))?;
                }
            }
        }
        builder.finish()
    }

    /// The same while no GPU of the group waits for another. The driver may wait for all GPUs where it allocates, which making a
    /// graph and starting it for the first time do; if one of them waited for a sum that this one has not begun, both would
    /// wait for ever. All ranks come here with the same list of their steps.
    fn build_together(
        &mut self,
        commands: &[Command],
        (group, rank): (&Communicators, usize),
    ) -> Result<Graph, DeviceError> {
        self.work.synchronize()?;
        group.meet(rank)?;
        let graph = self.build(commands)?;
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
            Next::Launch => return self.launch_all(commands),
        };
        let graph = match self.group.clone() {
            None => self.build(commands)?,
            Some((group, rank)) => self.build_together(commands, (&group, rank))?,
        };
        self.work.start(self.graphs.keep(key, commands, graph))
    }
}

/// What launches take.
struct Launches<'a> {
    programs: &'a mut Programs,
    memory: &'a Memory,
    library: Option<&'a MatrixLibrary>,
    group: Option<&'a (Arc<Communicators>, usize)>,
    work: &'a Stream,
}

impl Launches<'_> {
    /// Puts commands into the stream, and into branches of it what stands between the same barriers.
    fn launch_spread(&mut self, commands: &[Command], branches: &Branches) -> Result<(), DeviceError> {
        // Whether the stream holds a kernel of ours last, and nothing beside it.
        let mut follows = false;
        for stage in commands.split(|command| *command == Command::Barrier) {
            let dispatches: Vec<&Dispatch> = stage.iter().filter_map(Command::dispatch).collect();
            let alone = matches!(dispatches[..], [one] if one.kernel.source.is_compiled());
            let begin = if follows && alone { Begin::DuringLast } else { Begin::AfterAll };
            let work = self.work;
            branches.spread(work, &dispatches, |dispatch, stream| self.launch(dispatch, stream, begin))?;
            follows = alone;
        }
        Ok(())
    }

    /// Puts a dispatch into a stream; what libraries do goes to the stream that they were opened for.
    fn launch(&mut self, dispatch: &Dispatch, stream: &Stream, begin: Begin) -> Result<(), DeviceError> {
        let mistake = |reason: &str| DeviceError::Launch {
            kernel: format!("{:?}", dispatch.kernel),
            reason: reason.to_owned(),
        };
        if let Some(sum) = AllReduce::of(dispatch) {
            let (group, rank) = self.group.ok_or_else(|| mistake("this GPU belongs to no group"))?;
            return group.all_reduce(*rank, self.memory.address(sum.values)?, sum.elements(), self.work);
        }
        if let Some(product) = MatrixProduct::of(dispatch) {
            let library = self.library.ok_or_else(|| mistake("cuBLAS is not installed"))?;
            let address = |slice| self.memory.address(slice);
            return library.multiply(
                &product,
                address(product.left)?,
                address(product.right)?,
                address(product.out)?,
            );
        }
        let (function, mut values) = self.bind(dispatch)?;
        stream.launch(function, dispatch.grid, &mut values, begin).map_err(|error| refused(dispatch, error))
    }

    /// A kernel and its parameters, each in words of eight bytes.
    fn bind(&mut self, dispatch: &Dispatch) -> Result<(&Function, Vec<Vec<u64>>), DeviceError> {
        let mistake = |reason| DeviceError::Launch { kernel: format!("{:?}", dispatch.kernel), reason };
        let function = self.programs.function(dispatch.kernel)?;
        if dispatch.arguments.len() != function.parameters.len() {
            let (found, wanted) = (dispatch.arguments.len(), function.parameters.len());
            return Err(mistake(format!("it has {found} arguments and takes {wanted}")));
        }
        let mut values: Vec<Vec<u64>> = Vec::with_capacity(dispatch.arguments.len());
        for (place, (argument, parameter)) in dispatch.arguments.iter().zip(&function.parameters).enumerate()
        {
            values.push(match (argument, parameter) {
                (Argument::Buffer(slice, _), Parameter::Address) => vec![self.memory.address(*slice)?],
                (Argument::Inline(bytes), Parameter::Struct) => {
                    let mut words = vec![0u64; bytes.len().div_ceil(8)];
                    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
                    words
                }
                (Argument::Buffer(..), Parameter::Struct) => {
                    return Err(mistake(format!(
                        "argument {place} is memory, but the kernel takes a struct"
                    )));
                }
                (Argument::Inline(_), Parameter::Address) => {
                    return Err(mistake(format!(
                        "argument {place} is a struct, but the kernel takes memory"
                    )));
                }
            });
        }
        Ok((function, values))
    }
}

/// The driver's word on a launch, with the kernel's name.
fn refused(dispatch: &Dispatch, error: DeviceError) -> DeviceError {
    match error {
        DeviceError::Fault { message, .. } => {
            DeviceError::Launch { kernel: format!("{:?}", dispatch.kernel), reason: message }
        }
        other => other,
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
                    self.launch_all(std::slice::from_ref(command))?;
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
