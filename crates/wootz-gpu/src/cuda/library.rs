//! Matrix products by cuBLAS, where it is installed.

#![allow(unsafe_code, reason = "cuBLAS is a C library")]

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublas::result::{self, CublasError};
use cudarc::cublas::sys;

use super::driver::{Allocation, Context, Stream};
use crate::device::DeviceError;
use crate::product::MatrixProduct;

/// What cuBLAS may use for itself: its own advice for Hopper. With memory of ours it allocates none while a graph is made.
const WORKSPACE_BYTES: usize = 32 << 20;

/// The library, for one stream.
#[derive(Debug)]
pub struct MatrixLibrary {
    handle: sys::cublasHandle_t,
    _workspace: Allocation,
    context: Arc<Context>,
}

// SAFETY: a handle may be used from any thread, by one at a time; methods make the context current.
unsafe impl Send for MatrixLibrary {}

impl MatrixLibrary {
    /// The library for work in `stream`; `None` where it is not installed, or does not work with this driver.
    pub fn open(context: &Arc<Context>, stream: &Stream) -> Option<Self> {
        // SAFETY: asks the loader only.
        if !unsafe { sys::is_culib_present() } {
            return None;
        }
        context.make_current().ok()?;
        let workspace = Allocation::new(context, WORKSPACE_BYTES).ok()??;
        let handle = result::create_handle().ok()?;
        let library = Self { handle, _workspace: workspace, context: context.clone() };
        // SAFETY: handle, stream and workspace live as long as the device, which ends the stream's work before any of them.
        let ready = unsafe {
            let stream: sys::cudaStream_t = stream.handle().cast();
            result::set_stream(handle, stream).and_then(|()| {
                let workspace = library._workspace.address() as *mut c_void;
                sys::cublasSetWorkspace_v2(handle, workspace, WORKSPACE_BYTES).result()
            })
        };
        ready.ok().map(|()| library)
    }

    /// `out = left · rightᵀ`, with the addresses of the three. In column-major terms, which are the library's:
    /// `outᵀ [columns, rows] = right · leftᵀ`.
    pub fn multiply(
        &self,
        product: &MatrixProduct,
        left: u64,
        right: u64,
        out: u64,
    ) -> Result<(), DeviceError> {
        self.context.make_current()?;
        let MatrixProduct { rows, columns, inner, .. } = *product;
        let [rows, columns, inner] = [rows, columns, inner].map(|count| count as i32);
        let (one, zero) = (1.0_f32, 0.0_f32);
        let number = |value: &f32| std::ptr::from_ref(value).cast::<c_void>();
        let half = sys::cudaDataType::CUDA_R_16F;
        // SAFETY: the slices hold matrices of these shapes without gaps (`MatrixProduct`), on this device.
        unsafe {
            result::gemm_ex(
                self.handle,
                sys::cublasOperation_t::CUBLAS_OP_T,
                sys::cublasOperation_t::CUBLAS_OP_N,
                columns,
                rows,
                inner,
                number(&one),
                right as *const c_void,
                half,
                inner,
                left as *const c_void,
                half,
                inner,
                number(&zero),
                out as *mut c_void,
                sys::cudaDataType::CUDA_R_32F,
                columns,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|error: CublasError| DeviceError::Launch {
            kernel: "cuBLAS's matrix product".to_owned(),
            reason: format!("{error:?} for {rows}x{columns}x{inner}"),
        })
    }
}

impl Drop for MatrixLibrary {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::destroy_handle(self.handle) };
        }
    }
}
