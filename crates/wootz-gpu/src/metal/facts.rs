//! What a Mac's GPU says of itself.

use objc2::runtime::ProtocolObject;
use objc2_core_foundation::{CFNumber, CFRetained, CFString};
use objc2_foundation::NSProcessInfo;
use objc2_io_kit::{
    IOObjectRelease, IORegistryEntryCreateCFProperty, IOServiceGetMatchingService, IOServiceMatching,
};
use objc2_metal::{MTLDevice, MTLGPUFamily};

use crate::chips;
use crate::device::{DeviceError, DeviceFacts, Family};

/// A buffer's offset in an argument of the `device` address space is a multiple of this on Apple GPUs.
const OFFSET_ALIGNMENT: usize = 4;

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
        offset_alignment: OFFSET_ALIGNMENT,
    })
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
