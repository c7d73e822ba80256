//! Matrix products by Metal Performance Shaders, the system's own library.

use objc2::AnyThread;
use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_metal::MTLCommandBuffer;
use objc2_metal_performance_shaders::{
    MPSDataType, MPSMatrix, MPSMatrixDescriptor, MPSMatrixMultiplication, MPSSupportsMTLDevice,
};

use super::Metal;
use crate::device::{DeviceError, Slice};
use crate::product::MatrixProduct;

impl Metal {
    /// Encodes `out = left · rightᵀ`. The library makes an encoder of its own, which does not know our fence, so an
    /// event orders it with what is before and after in this command buffer. Encoders without commands, which wait
    /// for the fence and hand it on, order it with other command buffers.
    pub(super) fn product(
        &self,
        buffer: &ProtocolObject<dyn MTLCommandBuffer>,
        product: &MatrixProduct,
    ) -> Result<(), DeviceError> {
        // SAFETY: a question about a device that exists.
        if !unsafe { MPSSupportsMTLDevice(Some(&self.device)) } {
            let reason = "Metal Performance Shaders do not support this GPU; use --gemm metal".to_owned();
            return Err(DeviceError::Launch { kernel: "the system's matrix product".into(), reason });
        }
        let MatrixProduct { rows, columns, inner, left, right, out } = *product;
        let left = self.matrix(left, rows, inner, MPSDataType::Float16);
        let right = self.matrix(right, columns, inner, MPSDataType::Float16);
        let out = self.matrix(out, rows, columns, MPSDataType::Float32);
        let encoder = self.encoder(buffer, None)?;
        self.end(&encoder);
        self.queue.order(buffer);
        // SAFETY: the shapes are those of the matrices; the command buffer is being encoded and has no open encoder.
        unsafe {
            let multiply = MPSMatrixMultiplication::initWithDevice_transposeLeft_transposeRight_resultRows_resultColumns_interiorColumns_alpha_beta(
                MPSMatrixMultiplication::alloc(), &self.device, false, true, rows, columns, inner, 1.0, 0.0,
            );
            multiply.encodeToCommandBuffer_leftMatrix_rightMatrix_resultMatrix(buffer, &left, &right, &out);
        }
        self.queue.order(buffer);
        let encoder = self.encoder(buffer, None)?;
        self.end(&encoder);
        Ok(())
    }

    fn matrix(&self, slice: Slice, rows: usize, columns: usize, kind: MPSDataType) -> Retained<MPSMatrix> {
        let width = if kind == MPSDataType::Float16 { 2 } else { 4 };
        let (buffer, offset) = self.memory.locate(slice);
        // SAFETY: the slice holds `rows` rows of `columns` elements without gaps (`MatrixProduct`).
        unsafe {
            let descriptor = MPSMatrixDescriptor::matrixDescriptorWithRows_columns_rowBytes_dataType(
                rows,
                columns,
                columns * width,
                kind,
            );
            MPSMatrix::initWithBuffer_offset_descriptor(MPSMatrix::alloc(), buffer, offset, &descriptor)
        }
    }
}
