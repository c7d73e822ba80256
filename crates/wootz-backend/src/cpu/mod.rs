//! The CPU backend: a program's phases on a team of threads ([`executor`]), its matrices packed for the processor
//! ([`matmul`]), everything else on sixteen lanes ([`simd::lanes`]); and the scalar twins of all ops ([`reference`]).

pub mod attention;
pub mod elementwise;
pub mod executor;
mod heads;
pub mod kv;
pub mod limits;
mod load;
pub mod matmul;
pub mod memory;
pub mod model;
pub mod norm;
pub mod phases;
pub mod plan;
pub mod pool;
pub mod reference;
pub mod rope;
#[allow(unsafe_code)]
pub mod simd;
pub mod topology;

pub use load::LoadProgress;
pub use model::{CpuModel, CpuSettings, Memory};
pub use simd::Isa;
