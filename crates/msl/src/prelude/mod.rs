//! The prelude: Metal's standard library for clang, a few headers in Metal's own words.

use std::path::Path;

use crate::MslError;
use crate::lower::Target;

/// A header of the prelude.
pub(crate) struct File {
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(File { name: $name, text: include_str!($name) }),*]
    };
}

/// All headers for the emulator; `prelude.h` includes the others.
pub(crate) const FILES: [File; 27] = files![
    "prelude.h",
    "spaces.h",
    "abi.h",
    "exchange.h",
    "traits.h",
    "swizzle.h",
    "vector.h",
    "packed.h",
    "matrix.h",
    "limits.h",
    "map.h",
    "elementary.h",
    "math.h",
    "half.h",
    "common.h",
    "integer.h",
    "geometry.h",
    "simdgroup.h",
    "quadgroup.h",
    "simdgroup_matrix.h",
    "simdgroup_multiply.h",
    "matrix_unit.h",
    "warpgroup.h",
    "atomic.h",
    "atomic_operation.h",
    "tensor.h",
    "entry.h",
];

/// Those that a GPU has a version of its own of.
pub(crate) const PTX_FILES: [File; 11] = [
    File { name: "abi.h", text: include_str!("ptx/abi.h") },
    File { name: "exchange.h", text: include_str!("ptx/exchange.h") },
    File { name: "elementary.h", text: include_str!("ptx/elementary.h") },
    File { name: "half.h", text: include_str!("ptx/half.h") },
    File { name: "simdgroup.h", text: include_str!("ptx/simdgroup.h") },
    File { name: "quadgroup.h", text: include_str!("ptx/quadgroup.h") },
    File { name: "simdgroup_multiply.h", text: include_str!("ptx/simdgroup_multiply.h") },
    File { name: "matrix_unit.h", text: include_str!("ptx/matrix_unit.h") },
    File { name: "warpgroup.h", text: include_str!("ptx/warpgroup.h") },
    File { name: "atomic_operation.h", text: include_str!("ptx/atomic_operation.h") },
    File { name: "entry.h", text: include_str!("ptx/entry.h") },
];

/// Writes the headers for a target to `msl` below `folder`.
pub(crate) fn write_to(folder: &Path, target: Target) -> Result<(), MslError> {
    let folder = folder.join("msl");
    std::fs::create_dir_all(&folder).map_err(MslError::io("cannot create", &folder))?;
    let own: &[File] = match target {
        Target::Emulator => &[],
        Target::Ptx => &PTX_FILES,
    };
    // The target's own come last, in place of the others.
    for file in FILES.iter().chain(own) {
        let path = folder.join(file.name);
        std::fs::write(&path, file.text).map_err(MslError::io("cannot write", &path))?;
    }
    Ok(())
}
