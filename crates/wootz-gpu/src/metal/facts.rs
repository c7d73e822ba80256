//! What a Mac's GPU says of itself.

use objc2::available;
use objc2::runtime::ProtocolObject;
use objc2_core_foundation::{CFNumber, CFRetained, CFString};
use objc2_foundation::{NSProcessInfo, NSString};
use objc2_io_kit::{
    IOObjectRelease, IORegistryEntryCreateCFProperty, IOServiceGetMatchingService, IOServiceMatching,
};
use objc2_metal::{MTLCompileOptions, MTLDevice, MTLGPUFamily, MTLLanguageVersion};

use crate::chips;
use crate::device::{DeviceError, DeviceFacts, Family};

/// A buffer's offset in an argument of the `device` address space is a multiple of this on Apple GPUs.
const OFFSET_ALIGNMENT: usize = 4;

/// The M5. Before it the same operations run on other units, and people found wrong numbers.
const FIRST_WITH_TENSOR_UNITS: u8 = 10;

/// A product of two tiles, as the tensor kernels have it.
const TENSOR_PROBE: &str = "
#include <metal_stdlib>
#include <metal_tensor>
#include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>
using namespace metal;
kernel void probe(device half* a [[buffer(0)]], device half* b [[buffer(1)]], device float* c [[buffer(2)]]) {
    auto left = tensor<device half, dextents<int32_t, 2>, tensor_inline>(a, dextents<int32_t, 2>(32, 64));
    auto right = tensor<device half, dextents<int32_t, 2>, tensor_inline>(b, dextents<int32_t, 2>(32, 32));
    auto out = tensor<device float, dextents<int32_t, 2>, tensor_inline>(c, dextents<int32_t, 2>(32, 64));
    constexpr auto descriptor = mpp::tensor_ops::matmul2d_descriptor(64, 32, 32, false, true, false,
        mpp::tensor_ops::matmul2d_descriptor::mode::multiply);
    mpp::tensor_ops::matmul2d<descriptor, execution_simdgroups<4>> product;
    product.run(left, right, out);
}";

/// Reads the facts of `device`.
///
/// # Errors
/// For a GPU older than the M1, whose SIMD-group matrices the kernels need.
pub fn read(device: &ProtocolObject<dyn MTLDevice>) -> Result<DeviceFacts, DeviceError> {
    let name = device.name().to_string();
    let Some(family) = family(device) else {
        let reason =
            format!("{name} is older than Apple M1, the oldest that the kernels run on; use --device cpu");
        return Err(DeviceError::Absent { device: "metal", reason });
    };
    let cores = core_count();
    let chip = chips::find(&name, cores);
    Ok(DeviceFacts {
        name,
        family: Family::Apple(family),
        driver: NSProcessInfo::processInfo().operatingSystemVersionString().to_string(),
        cores,
        memory: device.recommendedMaxWorkingSetSize(),
        buffer_bytes: device.maxBufferLength() as u64,
        bandwidth: chip.map(|chip| chip.bandwidth),
        half_rate: chip.map(|chip| chip.half_rate),
        tensor_operations: family >= FIRST_WITH_TENSOR_UNITS && compiles_tensor_operations(device),
        matrix_library: true,
        register_factors: false,
        warpgroup_products: false,
        offset_alignment: OFFSET_ALIGNMENT,
    })
}

/// Whether this system compiles a kernel with a tensor product: macOS 26 has the language, and some of its
/// versions lack parts of the library.
fn compiles_tensor_operations(device: &ProtocolObject<dyn MTLDevice>) -> bool {
    if !available!(macos = 26.0) {
        return false;
    }
    let options = MTLCompileOptions::new();
    options.setLanguageVersion(MTLLanguageVersion::Version4_0);
    device.newLibraryWithSource_options_error(&NSString::from_str(TENSOR_PROBE), Some(&options)).is_ok()
}

/// The newest Apple family that the device supports: 7 is M1.
fn family(device: &ProtocolObject<dyn MTLDevice>) -> Option<u8> {
    let families = [
        (10, MTLGPUFamily::Apple10),
        (9, MTLGPUFamily::Apple9),
        (8, MTLGPUFamily::Apple8),
        (7, MTLGPUFamily::Apple7),
    ];
    families.into_iter().find(|&(_, family)| device.supportsFamily(family)).map(|(number, _)| number)
}

/// GPU cores, from the registry entry of Apple's GPU driver.
fn core_count() -> Option<u32> {
    let key = CFString::from_static_str("gpu-core-count");
    // SAFETY: the name is a C string. The dictionary that comes back is consumed by the look-up, as IOKit's
    // documentation says, and the service is released once.
    let property = unsafe {
        let matching = IOServiceMatching(c"AGXAccelerator".as_ptr())?;
        let matching = CFRetained::cast_unchecked(matching);
        let service = IOServiceGetMatchingService(0, Some(matching));
        if service == 0 {
            return None;
        }
        let property = IORegistryEntryCreateCFProperty(service, Some(&key), None, 0);
        IOObjectRelease(service);
        property?
    };
    let number = property.downcast::<CFNumber>().ok()?;
    number.as_i64().and_then(|count| u32::try_from(count).ok())
}
