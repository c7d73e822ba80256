//! A kernel's launch in a stream.

#![allow(unsafe_code, reason = "the driver is a C library")]

use std::ffi::c_void;

use cudarc::driver::sys;

use super::driver::{Stream, fault};
use super::programs::Function;
use crate::device::{DeviceError, Grid};

/// When a launch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// When everything has ended that the stream holds.
    AfterAll,
    /// While the kernel that the stream holds last still runs, where GPU and driver can do that: the kernel waits for its end
    /// by itself. What is last has to be a kernel of ours, since those do.
    DuringLast,
}

/// Where each of a kernel's parameters lies.
pub fn pointers(values: &mut [Vec<u64>]) -> Vec<*mut c_void> {
    values.iter_mut().map(|value| value.as_mut_ptr().cast::<c_void>()).collect()
}

impl Stream {
    /// Starts a kernel. `values` are its parameters, each in words of eight bytes.
    pub fn launch(
        &self,
        function: &Function,
        grid: Grid,
        values: &mut [Vec<u64>],
        begin: Begin,
    ) -> Result<(), DeviceError> {
        self.context.make_current()?;
        let mut parameters = pointers(values);
        let [x, y, z] = grid.threadgroups;
        let [tx, ty, tz] = grid.threads;
        let mut during = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let overlaps = begin == Begin::DuringLast && self.context.overlapping();
        let launch = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: tx,
            blockDimY: ty,
            blockDimZ: tz,
            sharedMemBytes: 0,
            hStream: self.stream,
            attrs: &mut during,
            numAttrs: u32::from(overlaps),
        };
        // SAFETY: the function's module is loaded; there is a value for each of its parameters, of the parameter's size
        // (the caller checks kinds, and argument structs are declared once for both sides). The driver copies them, and reads
        // as many attributes as it is told.
        unsafe {
            sys::cuLaunchKernelEx(&launch, function.entry.0, parameters.as_mut_ptr(), std::ptr::null_mut())
        }
        .result()
        .map_err(fault)
    }
}
