//! Lowering: from Metal's text to C++ for OpenCL, and a table of its entry points.
//!
//! Metal is C++ with four memory spaces, and so is C++ for OpenCL: `device` is `__global` there, `threadgroup` is
//! `__local`, and clang checks their use as Metal's compiler does. What is left to do fits in a row of small passes
//! over tokens. Each looks at the tokens and says what to replace; none moves a line, so that clang's errors and
//! the debug information speak of the source as it was written.

mod arguments;
pub(crate) mod attributes;
mod conditionals;
mod entry_points;
pub(crate) mod function_constants;
mod literals;
pub(crate) mod members;
pub(crate) mod preprocess;
mod swizzles;
mod temporaries;
#[cfg(test)]
mod tests;
mod threadgroup;
mod thunks;
pub(crate) mod tokens;
pub(crate) mod types;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use arguments::{Access, Argument, BUFFERS, Builtin, Space, THREADGROUP_ALLOCATIONS};
pub use entry_points::EntryPoint;
pub use function_constants::FunctionConstant;

use crate::clang::Clang;
use crate::{MslError, Source};
use members::Kept;
use tokens::Tokens;

/// A lowered source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// C++ for OpenCL, to be compiled with the prelude beside it.
    pub text: String,
    /// What can be called in it.
    pub interface: Interface,
}

/// What a compiled source offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Interface {
    /// The kernels, in the order of the source.
    pub entry_points: Vec<EntryPoint>,
    /// The values that are given when a pipeline is made.
    pub function_constants: Vec<FunctionConstant>,
}

impl Interface {
    /// The entry point of a name.
    pub fn entry_point(&self, name: &str) -> Option<&EntryPoint> {
        self.entry_points.iter().find(|entry_point| entry_point.name == name)
    }
}

/// What lowered text is compiled for. Only the thunks at its end differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The emulator, on a processor.
    Emulator,
    /// An NVIDIA GPU.
    Ptx,
}

/// Lowers a source for the emulator.
///
/// # Errors
///
/// If there is no clang, or the preprocessor or a pass refuses the source. Errors of type are found later, when the
/// lowered text is compiled.
pub fn lower(source: &Source) -> Result<Lowered, MslError> {
    let clang = Clang::find()?;
    let folder = tempfile::tempdir().map_err(MslError::io("cannot create", &std::env::temp_dir()))?;
    lower_in(source, &clang, folder.path(), Target::Emulator)
}

/// Lowers a source with `folder` for its files.
pub(crate) fn lower_in(
    source: &Source,
    clang: &Clang,
    folder: &Path,
    target: Target,
) -> Result<Lowered, MslError> {
    let preprocessed = preprocess::run(source, clang, folder)?;
    lower_preprocessed(&preprocessed, &source.name, target)
}

/// Lowers preprocessed text.
pub(crate) fn lower_preprocessed(text: &str, name: &str, target: Target) -> Result<Lowered, MslError> {
    lower_tokens(Tokens::read(text, name)?, Kept::Needed, target)
}

/// Lowers the tokens of preprocessed text.
pub(crate) fn lower_tokens(tokens: Tokens, kept: Kept, target: Target) -> Result<Lowered, MslError> {
    let swizzles = swizzles::definitions(&tokens);
    let edits = literals::edits(&tokens);
    let tokens = tokens.apply(edits)?;
    let edits = conditionals::edits(&tokens);
    let tokens = tokens.apply(edits)?;
    let edits = temporaries::edits(&tokens);
    let tokens = tokens.apply(edits)?;
    let edits = members::edits(&tokens, kept);
    let tokens = tokens.apply(edits)?;
    let edits = threadgroup::edits(&tokens)?;
    let tokens = tokens.apply(edits)?;
    let (edits, function_constants) = function_constants::edits(&tokens)?;
    let tokens = tokens.apply(edits)?;
    let edits = function_constants::mark_program_constants(&tokens)?;
    let tokens = tokens.apply(edits)?;
    let (edits, mut entry_points) = entry_points::edits(&tokens)?;
    let tokens = tokens.apply(edits)?;
    let storage = function_constants::storage(&function_constants);
    let thunks = thunks::text(&mut entry_points, target);
    // A call on a GPU would pass its arguments through memory, and hide from the compiler which space a pointer is of.
    let (begin, end) = match target {
        Target::Emulator => ("", ""),
        Target::Ptx => (
            "#pragma clang attribute push(__attribute__((always_inline, internal_linkage)), apply_to = function)\n",
            "\n#pragma clang attribute pop\n",
        ),
    };
    let text = format!("{swizzles}#include \"msl/prelude.h\"\n{storage}{begin}{tokens}{end}{thunks}");
    Ok(Lowered { text, interface: Interface { entry_points, function_constants } })
}
