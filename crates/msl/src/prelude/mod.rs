//! The prelude: Metal's standard library for clang, a few headers in Metal's own words.

use std::path::Path;

use crate::MslError;

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

/// All headers; `prelude.h` includes the others.
pub(crate) const FILES: [File; 21] = files![
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
    "math.h",
    "common.h",
    "integer.h",
    "geometry.h",
    "simdgroup.h",
    "quadgroup.h",
    "simdgroup_matrix.h",
    "atomic.h",
    "tensor.h",
    "entry.h",
];

/// Writes the headers to `msl` below `folder`.
pub(crate) fn write_to(folder: &Path) -> Result<(), MslError> {
    let folder = folder.join("msl");
    std::fs::create_dir_all(&folder).map_err(MslError::io("cannot create", &folder))?;
    for file in &FILES {
        let path = folder.join(file.name);
        std::fs::write(&path, file.text).map_err(MslError::io("cannot write", &path))?;
    }
    Ok(())
}
