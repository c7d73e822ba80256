//! Metal source on any machine.
//!
//! Metal's compiler exists only on a Mac. This crate compiles an unmodified `.metal` text with clang, and runs its
//! kernels on the processor with a GPU's barriers, simdgroups and memory rules, so that every kernel can be tested
//! anywhere. From text to function it goes like this:
//!
//! ```text
//! norm.metal ──▶ preprocess ──▶ passes ──▶ C++ for OpenCL ──▶ clang ──▶ library.so ──▶ emulator
//!  (Source)       (clang -E)    (lower/)    + prelude/*.h              + glue.cpp     (Library::run)
//! ```
//!
//! **The language.** Metal is C++ with four memory spaces, and clang has another such language, C++ for OpenCL. Its
//! spaces stand for Metal's: `device` is a kind of `__global`, `threadgroup` is `__local`, `thread` is `__private`,
//! and `constant` is `const __global`. On a processor all four are plain memory, yet clang checks them, so most of
//! Metal's type errors are clang's type errors.
//!
//! **The passes** ([`mod@lower`]) rewrite what is left, as tokens: attributes become a table of [`EntryPoint`]s,
//! threadgroup variables become references to memory of the threadgroup, function constants become functions. No
//! pass moves a line, so errors and debug information speak of the source as it was written.
//!
//! **The prelude** (`prelude/*.h`) is Metal's standard library: vectors with swizzles, mathematics, simdgroup
//! functions and matrices, atomics. What a lane can't do alone, it asks of the emulator.
//!
//! **The emulator** ([`emulator`]) gives each GPU thread a stack of its own and switches between them where they wait
//! for each other. [`Mode::Fast`] runs whole models; [`Mode::Checked`] looks at every access and reports what goes
//! wrong with file and line.
//!
//! **The lint** ([`mod@lint`]) finds what clang takes and Metal does not.
//!
//! ```no_run
//! use msl::{Mode, Options, Source};
//!
//! let text = "#include <metal_stdlib>\nusing namespace metal;\n\
//!     kernel void twice(device float* x [[buffer(0)]], uint i [[thread_position_in_grid]]) { x[i] *= 2.0f; }";
//! let library = msl::compile(&Source::new("twice.metal", text), &Options::new(Mode::Checked))?;
//! assert_eq!(library.interface.entry_points[0].name, "twice");
//! # Ok::<(), msl::MslError>(())
//! ```
//!
//! What is not covered: textures, samplers, ray tracing, vertex and fragment functions, `printf`-like logging, and of
//! the vectors a swizzle of a swizzle (`v.xyz.x`) and `auto` for a swizzle. Numbers are the processor's: `exp` and
//! its like come from the C library, and nothing is fused that the kernel doesn't fuse itself.

pub mod clang;
mod diagnostics;
pub mod emulator;
mod error;
pub mod library;
pub mod lint;
pub mod lower;
mod prelude;
pub mod ptx;
mod source;

pub use error::{Location, MslError};
pub use library::{CompiledLibrary, Mode, Options, compile};
pub use lint::{Finding, Rule, lint};
pub use lower::{EntryPoint, Interface, Lowered, lower};
pub use ptx::Ptx;
pub use source::{Header, Source};
