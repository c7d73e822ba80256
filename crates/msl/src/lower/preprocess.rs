//! The preprocessor: clang's own, told that it is Metal's.

use std::path::Path;

use crate::clang::Clang;
use crate::diagnostics::for_authors;
use crate::{MslError, Source};

/// Headers of Metal's standard library. The prelude declares everything at once, so they are empty here.
pub(crate) const STANDARD_HEADERS: [&str; 15] = [
    "metal_stdlib",
    "metal_atomic",
    "metal_common",
    "metal_compute",
    "metal_geometric",
    "metal_integer",
    "metal_math",
    "metal_numeric",
    "metal_pack",
    "metal_relational",
    "metal_simdgroup",
    "metal_simdgroup_matrix",
    "metal_tensor",
    "metal_types",
    "MetalPerformancePrimitives/MetalPerformancePrimitives.h",
];
/// The folder of those headers within the private folder of a compilation.
const STANDARD_FOLDER: &str = "msl_standard";
/// Metal 3.2, which macOS 15 brings; 3.1 is the first with bfloat.
const METAL_VERSION: &str = "320";

/// The source with its `#include`s and macros resolved, and line markers that tell where each line is from.
pub(crate) fn run(source: &Source, clang: &Clang, folder: &Path) -> Result<String, MslError> {
    source.write_to(folder)?;
    let standard = folder.join(STANDARD_FOLDER);
    let subfolder = standard.join("MetalPerformancePrimitives");
    std::fs::create_dir_all(&subfolder).map_err(MslError::io("cannot create", &subfolder))?;
    for name in STANDARD_HEADERS {
        let path = standard.join(name);
        // `using namespace metal;` follows, and the namespace must be known to the preprocessed text.
        let text = "#pragma once\n#define METAL_FUNC inline __attribute__((always_inline))\n";
        std::fs::write(&path, text).map_err(MslError::io("cannot write", &path))?;
    }
    let mut arguments: Vec<String> =
        ["-E", "-x", "c++", "-std=c++17", "-nostdinc", "-nostdinc++", "-undef"].map(str::to_owned).into();
    arguments.extend(["-D__METAL__=1".into(), "-D__METAL_MACOS__=1".into(), "-D__HAVE_BFLOAT__=1".into()]);
    arguments.push(format!("-D__METAL_VERSION__={METAL_VERSION}"));
    arguments.extend(["-I".into(), ".".into(), "-isystem".into(), STANDARD_FOLDER.into()]);
    arguments.extend(source.defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    arguments.push(source.name.clone());
    let output = clang.run(folder, &arguments).map_err(for_authors)?;
    String::from_utf8(output).map_err(|_| MslError::Compile(format!("{} is not UTF-8", source.name)))
}
