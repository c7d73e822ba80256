//! The driver's graphs: launches that are put together once, and started together any number of times.

#![allow(unsafe_code, reason = "the driver is a C library")]

use std::sync::Arc;

use cudarc::driver::sys;

use super::driver::{Context, Stream, fault};
use super::launch::pointers;
use super::programs::Function;
use crate::device::{DeviceError, Grid};

/// Launches that are put together once and started together any number of times.
#[derive(Debug)]
pub struct Graph {
    executable: sys::CUgraphExec,
    context: Arc<Context>,
}

// SAFETY: as for `Stream`.
unsafe impl Send for Graph {}

/// A graph that is being put together.
pub struct GraphBuilder {
    graph: sys::CUgraph,
    /// The launches of the stage before, which all of this stage wait for.
    before: Vec<sys::CUgraphNode>,
    stage: Vec<sys::CUgraphNode>,
    context: Arc<Context>,
}

impl GraphBuilder {
    /// Without launches.
    pub fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        context.make_current()?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { sys::cuGraphCreate(&mut graph, 0) }.result().map_err(fault)?;
        Ok(Self::of(graph, context))
    }

    /// With what a graph holds already; the graph is destroyed with this.
    fn of(graph: sys::CUgraph, context: &Arc<Context>) -> Self {
        Self { graph, before: Vec::new(), stage: Vec::new(), context: context.clone() }
    }

    /// Adds a launch, which waits for those before the last barrier. `values` are its parameters, each in words of eight
    /// bytes.
    pub fn launch(
        &mut self,
        function: &Function,
        grid: Grid,
        values: &mut [Vec<u64>],
    ) -> Result<(), DeviceError> {
        let mut parameters = pointers(values);
        let [x, y, z] = grid.threadgroups;
        let [tx, ty, tz] = grid.threads;
        let launch = sys::CUDA_KERNEL_NODE_PARAMS {
            func: function.entry.0,
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: tx,
            blockDimY: ty,
            blockDimZ: tz,
            sharedMemBytes: 0,
            kernelParams: parameters.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        };
        let waits = if self.context.overlapping() { &[] } else { self.before.as_slice() };
        let mut node = std::ptr::null_mut();
        // SAFETY: as for `Stream::launch`; the driver copies the parameters, and the nodes waited for are of this graph.
        unsafe { sys::cuGraphAddKernelNode_v2(&mut node, self.graph, waits.as_ptr(), waits.len(), &launch) }
            .result()
            .map_err(fault)?;
        if self.context.overlapping() {
            self.begin_during(node)?;
        }
        self.stage.push(node);
        Ok(())
    }

    /// Lets a launch begin while those of the stage before still run: its kernel waits for their end by itself.
    fn begin_during(&self, node: sys::CUgraphNode) -> Result<(), DeviceError> {
        let during = sys::CUgraphEdgeData {
            from_port: sys::CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC as u8,
            to_port: 0,
            type_: sys::CUgraphDependencyType_enum::CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC as u8,
            reserved: [0; 5],
        };
        let (to, edges) = (vec![node; self.before.len()], vec![during; self.before.len()]);
        // SAFETY: all nodes are of this graph, and the three lists are of one length.
        unsafe {
            sys::cuGraphAddDependencies_v2(
                self.graph,
                self.before.as_ptr(),
                to.as_ptr(),
                edges.as_ptr(),
                to.len(),
            )
        }
        .result()
        .map_err(fault)
    }

    /// What is added from now on waits for everything so far.
    pub fn barrier(&mut self) {
        if !self.stage.is_empty() {
            self.before = std::mem::take(&mut self.stage);
        }
    }

    /// The graph, ready to be started.
    pub fn finish(self) -> Result<Graph, DeviceError> {
        let mut executable = std::ptr::null_mut();
        // SAFETY: the graph is whole; what is made of it does not need it any longer.
        unsafe { sys::cuGraphInstantiateWithFlags(&mut executable, self.graph, 0) }
            .result()
            .map_err(fault)?;
        Ok(Graph { executable, context: self.context.clone() })
    }
}

impl Drop for GraphBuilder {
    fn drop(&mut self) {
        // A capture that failed has left none.
        if !self.graph.is_null() && self.context.make_current().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { sys::cuGraphDestroy(self.graph) };
        }
    }
}

impl Stream {
    /// Keeps what `launches` puts into the stream as a graph, instead of running it.
    pub fn capture(&self, launches: impl FnOnce() -> Result<(), DeviceError>) -> Result<Graph, DeviceError> {
        self.context.make_current()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as this.
        unsafe { sys::cuStreamBeginCapture_v2(self.stream, mode) }.result().map_err(fault)?;
        let launched = launches();
        let mut graph = std::ptr::null_mut();
        // SAFETY: begun above; ended whatever came of the launches.
        let ended = unsafe { sys::cuStreamEndCapture(self.stream, &mut graph) }.result().map_err(fault);
        let captured = GraphBuilder::of(graph, &self.context);
        launched?;
        ended?;
        captured.finish()
    }

    /// Puts on the device what a graph takes there, before it is started for the first time.
    pub fn upload(&self, graph: &Graph) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: both live, and are of one context.
        unsafe { sys::cuGraphUpload(graph.executable, self.stream) }.result().map_err(fault)
    }

    /// Starts the launches of a graph after what the stream holds.
    pub fn start(&self, graph: &Graph) -> Result<(), DeviceError> {
        self.context.make_current()?;
        // SAFETY: the graph's kernels and the memory that they were given live as long as the device.
        unsafe { sys::cuGraphLaunch(graph.executable, self.stream) }.result().map_err(fault)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made once, destroyed once; the driver waits for launches under way.
            let _ = unsafe { sys::cuGraphExecDestroy(self.executable) };
        }
    }
}
