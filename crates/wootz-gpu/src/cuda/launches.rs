//! Commands as launches of kernels, and of libraries: one after the other, or as a graph.

use std::sync::Arc;

use super::branches::Branches;
use super::driver::{Context, Stream};
use super::graph::{Graph, GraphBuilder};
use super::group::Communicators;
use super::launch::Begin;
use super::library::MatrixLibrary;
use super::memory::Memory;
use super::programs::{Function, Parameter, Programs};
use crate::collective::AllReduce;
use crate::device::{Argument, Command, DeviceError, Dispatch};
use crate::product::MatrixProduct;

/// What launches take.
pub struct Launches<'a> {
    pub programs: &'a mut Programs,
    pub memory: &'a Memory,
    pub library: Option<&'a MatrixLibrary>,
    pub group: Option<&'a (Arc<Communicators>, usize)>,
    pub branches: &'a Branches,
    pub work: &'a Stream,
    pub context: &'a Arc<Context>,
}

impl Launches<'_> {
    /// Puts commands into the stream, one after the other.
    pub fn launch_all(&mut self, commands: &[Command]) -> Result<(), DeviceError> {
        let mut dispatches = commands.iter().filter_map(Command::dispatch);
        dispatches.try_for_each(|dispatch| self.launch(dispatch, Begin::AfterAll))
    }

    /// Commands as a graph.
    pub fn graph(&mut self, commands: &[Command]) -> Result<Graph, DeviceError> {
        // What a library launches is known only by watching it.
        let watched = |dispatch: &Dispatch| !dispatch.kernel.source.is_compiled();
        if commands.iter().filter_map(Command::dispatch).any(watched) {
            return self.work.capture(|| self.launch_spread(commands));
        }
        let mut builder = GraphBuilder::new(self.context)?;
        for command in commands {
            match command {
                Command::Barrier => builder.barrier(),
                Command::Dispatch(dispatch) => {
                    let (function, mut values) = self.bind(dispatch)?;
                    builder
                        .launch(function, dispatch.grid, &mut values)
                        .map_err(|error| refused(dispatch, error))?;
                }
            }
        }
        builder.finish()
    }

    /// Puts commands into the stream, and into branches of it what stands between the same barriers.
    fn launch_spread(&mut self, commands: &[Command]) -> Result<(), DeviceError> {
        // Whether the stream holds a kernel of ours last, and nothing beside it.
        let mut follows = false;
        for stage in commands.split(|command| *command == Command::Barrier) {
            let dispatches: Vec<&Dispatch> = stage.iter().filter_map(Command::dispatch).collect();
            let alone = matches!(dispatches[..], [one] if one.kernel.source.is_compiled());
            let begin = if follows && alone { Begin::DuringLast } else { Begin::AfterAll };
            let (branches, work) = (self.branches, self.work);
            branches.spread(work, &dispatches, |dispatch, stream| self.launch_in(stream, dispatch, begin))?;
            follows = alone;
        }
        Ok(())
    }

    /// Puts a dispatch into the stream.
    pub fn launch(&mut self, dispatch: &Dispatch, begin: Begin) -> Result<(), DeviceError> {
        self.launch_in(self.work, dispatch, begin)
    }

    /// Puts a dispatch into a stream; what libraries do goes to the stream that they were opened for.
    fn launch_in(&mut self, stream: &Stream, dispatch: &Dispatch, begin: Begin) -> Result<(), DeviceError> {
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
